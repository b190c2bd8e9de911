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
	clips   string       // directory of its digits
	nearest bool         // the program has none of its own for the locale
}

// Voice says who speaks a locale: the name of the voice, as the program calls it,
// and whether it is only the nearest that espeak-ng has.
func (s *Speaker) Voice(locale string) (name string, nearest bool) {
	v := s.voice(locale)
	return v.program.Name, v.nearest
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
		v.program.Name, v.nearest = orDefault(names[locale], locale), false
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
		switch {
		case len(fields) == 0:
			continue
		case len(fields) == 3, len(fields) == 4 && fields[3] == "nearest":
			voices[fields[0]] = voice{
				program: speech.Voice{Name: fields[1], Locale: fields[0]},
				clips:   fields[2],
				nearest: len(fields) == 4,
			}
		default:
			return nil, fmt.Errorf("%q is not a locale, a voice, a directory and perhaps \"nearest\"", line)
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
	b, err := data.ReadFile("clips/" + dir + "/" + strings.ToLower(string(character)) + ".ulaw")
	if err != nil {
		return nil
	}
	return audio.FromMuLaw(b)
}
