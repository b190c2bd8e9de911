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

// voice is the voice of a locale.
type voice struct {
	program speech.Voice // voice of the program, for words
	clips   string       // directory of the recorded digits
	nearest bool         // the program has no voice for the locale; this is the nearest

	digitsOnly bool // the program's words are unintelligible and not used
}

// yourCode returns the recorded words "your code" and the pause after them. If the
// locale has no recording, the words are in English.
func (v voice) yourCode() audio.Samples {
	sound := recorded(v.clips, codeClip)
	if sound == nil {
		sound = recorded(englishClips, codeClip)
	}
	return slices.Concat(sound, audio.Silence(afterText))
}

// Voice returns the program's name for the voice of a locale, and a remark. It is "the
// nearest" if espeak-ng has no voice for language and country, "digits only" if its
// words are unintelligible, and "" otherwise.
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

// voice returns the voice of a locale. If voices.txt lacks the locale, it is the first
// voice of its language, or American English. The voice of a configured program has the
// configured name, or the locale as its name.
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

// nearest returns the first voice of a locale's language, or American English.
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

// loadVoices reads voices.txt, with the columns locale, voice, directory of clips, and
// marks. It returns the voices by locale.
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

// chooseDigits sets the clips of the chosen variants, by locale. variants.txt lists the
// variants.
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
			return fmt.Errorf("%q has no variants; only these locales do: %s", locale, strings.Join(slices.Sorted(maps.Keys(sets)), ", "))
		}
		set, ok := variants[chosen[locale]]
		if !ok {
			return fmt.Errorf("%s: unknown variant %q; use %s", locale, chosen[locale], strings.Join(slices.Sorted(maps.Keys(variants)), ", "))
		}
		v := voices[locale]
		v.clips = set
		voices[locale] = v
	}
	return nil
}

// readTable reads an embedded table with at least three columns per line; "#" starts a
// comment.
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

// codeClip is the name of the clip "your code" and its id in a script. It cannot clash
// with the id of an operator's recording, which is a UUID.
const codeClip = "code"

// clip returns the recording of a character, or nil. Upper and lower case are equal.
func clip(dir string, character rune) audio.Samples {
	return recorded(dir, strings.ToLower(string(character)))
}

// recorded returns the clip with a name in a directory, or nil.
func recorded(dir, name string) audio.Samples {
	b, err := data.ReadFile("clips/" + dir + "/" + name + ".ulaw")
	if err != nil {
		return nil
	}
	return audio.FromMuLaw(b)
}
