package tts

import (
	"embed"
	"fmt"
	"strings"

	"countersign/internal/deliver/tts/audio"
	"countersign/internal/deliver/tts/internal/speech"
)

const (
	defaultLocale = "en-us"
	englishClips  = "en"
)

//go:embed voices.txt clips
var data embed.FS

// voice is how a locale sounds.
type voice struct {
	program speech.Voice // who speaks its words
	clips   string       // directory of its digits; "" for none
}

// voice finds the voice of a locale; a locale that is not known sounds American.
func (s *Speaker) voice(locale string) voice {
	if v, ok := s.voices[locale]; ok {
		return v
	}
	return s.voices[defaultLocale]
}

// rename has the voices of a configured program instead of espeak-ng's. One that
// has no name goes by its locale.
func rename(voices map[string]voice, names map[string]string) {
	for locale, v := range voices {
		v.program.Name = orDefault(names[locale], locale)
		voices[locale] = v
	}
}

func loadVoices() (map[string]voice, error) {
	b, err := data.ReadFile("voices.txt")
	if err != nil {
		return nil, err
	}
	voices := map[string]voice{}
	for line := range strings.Lines(string(b)) {
		line, _, _ = strings.Cut(line, "#")
		fields := strings.Fields(line)
		switch len(fields) {
		case 0:
			continue
		case 3:
			voices[fields[0]] = voice{
				program: speech.Voice{Name: fields[1], Locale: fields[0]},
				clips:   strings.TrimSuffix(fields[2], "-"),
			}
		default:
			return nil, fmt.Errorf("%q has %d columns, want 3", line, len(fields))
		}
	}
	if _, ok := voices[defaultLocale]; !ok {
		return nil, fmt.Errorf("no voice for %s", defaultLocale)
	}
	return voices, nil
}

// clip is the recording of one character, or nil. Letters sound alike in both
// cases: nobody says "capital" to somebody who writes down a code.
func clip(dir string, character rune) audio.Samples {
	if dir == "" {
		return nil
	}
	b, err := data.ReadFile("clips/" + dir + "/" + strings.ToLower(string(character)) + ".ulaw")
	if err != nil {
		return nil
	}
	return audio.FromMuLaw(b)
}
