package tts

import (
	"embed"
	"fmt"
	"maps"
	"slices"
	"strings"

	"countersign/internal/deliver/tts/audio"
	"countersign/internal/deliver/tts/internal/speech"
)

const (
	defaultLocale = "en-us"
	englishClips  = "en"
)

//go:embed voices.txt variants.txt clips
var data embed.FS

// voice is how a locale sounds.
type voice struct {
	program speech.Voice // who speaks its words
	clips   string       // directory of its digits
	nearest bool         // the program has none of its own for the locale

	digitsOnly bool // the program's words are unintelligible, so it speaks none
}

// yourCode returns the recorded words "your code", in English where the locale has
// none, and the pause after them.
func (v voice) yourCode() audio.Samples {
	sound := recorded(v.clips, codeClip)
	if sound == nil {
		sound = recorded(englishClips, codeClip)
	}
	return slices.Concat(sound, audio.Silence(afterText))
}

// Voice returns the name of the voice of a locale, as the program calls it, and a
// remark: "the nearest" if espeak-ng has none of that language and country, "digits only"
// if its words are unintelligible, "" otherwise.
func (s *Speaker) Voice(locale string) (name, remark string) {
	v := s.voice(locale)
	switch {
	case v.digitsOnly:
		remark = "digits only"
	case v.nearest:
		remark = "the nearest"
	}
	return v.program.Name, remark
}

// voice returns the voice of a locale. A locale that voices.txt lacks has the first voice
// of its language, or else the American one. A configured program has a voice of its own
// for each locale, by the configured name or else by the locale.
func (s *Speaker) voice(locale string) voice {
	v, ok := s.voices[locale]
	if !ok {
		v = s.nearest(locale)
	}
	if s.command {
		locale = orDefault(locale, defaultLocale)
		v.program = speech.Voice{Name: orDefault(s.names[locale], locale), Locale: locale}
		v.nearest, v.digitsOnly = false, false
	}
	return v
}

// nearest returns the first voice of the language of a locale, or the American one.
func (s *Speaker) nearest(locale string) voice {
	language, _, _ := strings.Cut(locale, "-")
	for _, other := range slices.Sorted(maps.Keys(s.voices)) {
		if strings.HasPrefix(other, language+"-") {
			v := s.voices[other]
			v.nearest = true
			return v
		}
	}
	return s.voices[defaultLocale]
}

// loadVoices reads voices.txt: locale, voice, directory of clips, and marks.
func loadVoices() (map[string]voice, error) {
	voices := map[string]voice{}
	err := readTable("voices.txt", func(fields []string) error {
		v := voice{program: speech.Voice{Name: fields[1], Locale: fields[0]}, clips: fields[2]}
		for _, mark := range fields[3:] {
			switch mark {
			case "nearest":
				v.nearest = true
			case "digits-only":
				v.digitsOnly = true
			default:
				return fmt.Errorf("%s: unknown mark %q", fields[0], mark)
			}
		}
		voices[fields[0]] = v
		return nil
	})
	if err == nil && voices[defaultLocale].clips == "" {
		err = fmt.Errorf("no voice for %s", defaultLocale)
	}
	return voices, err
}

// chooseDigits gives voices the clips of variants by locale, as variants.txt has them.
func chooseDigits(voices map[string]voice, chosen map[string]string) error {
	sets := map[string]map[string]string{} // directory of clips by locale and variant
	err := readTable("variants.txt", func(fields []string) error {
		if sets[fields[0]] == nil {
			sets[fields[0]] = map[string]string{}
		}
		sets[fields[0]][fields[1]] = fields[2]
		return nil
	})
	if err != nil {
		return err
	}
	for _, locale := range slices.Sorted(maps.Keys(chosen)) {
		variants, ok := sets[locale]
		if !ok {
			return fmt.Errorf("%q has no variants: only %s do", locale, strings.Join(slices.Sorted(maps.Keys(sets)), ", "))
		}
		set, ok := variants[chosen[locale]]
		if !ok {
			return fmt.Errorf("%s: %q is none of %s", locale, chosen[locale], strings.Join(slices.Sorted(maps.Keys(variants)), ", "))
		}
		v := voices[locale]
		v.clips = set
		voices[locale] = v
	}
	return nil
}

// readTable reads an embedded table with at least three columns in a line; "#" begins
// a remark.
func readTable(name string, row func(fields []string) error) error {
	b, err := data.ReadFile(name)
	if err != nil {
		return err
	}
	n := 0
	for line := range strings.Lines(string(b)) {
		n++
		line, _, _ = strings.Cut(line, "#")
		fields := strings.Fields(line)
		switch {
		case len(fields) == 0:
			continue
		case len(fields) < 3:
			return fmt.Errorf("%s:%d: %d columns, want 3 or more", name, n, len(fields))
		}
		if err := row(fields); err != nil {
			return fmt.Errorf("%s:%d: %w", name, n, err)
		}
	}
	return nil
}

// codeClip is the name of the clip that says "your code", and its id in a script. An id
// of an operator's recording is a UUID.
const codeClip = "code"

// clip is the recording of one character, or nil. Letters sound alike in both cases.
func clip(dir string, character rune) audio.Samples {
	return recorded(dir, strings.ToLower(string(character)))
}

// recorded returns the clip of a name in a directory, or nil.
func recorded(dir, name string) audio.Samples {
	b, err := data.ReadFile("clips/" + dir + "/" + name + ".ulaw")
	if err != nil {
		return nil
	}
	return audio.FromMuLaw(b)
}
