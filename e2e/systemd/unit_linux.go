package main

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// unit is a unit file with its drop-ins: the values of each directive, in order.
type unit struct {
	name   string
	values map[string][]string
}

// implemented lists the directives without an effect on one run of a command, and those
// that confine applies.
const implemented = "Description After Wants StartLimitIntervalSec Type Restart RestartSec TimeoutStopSec " +
	"ExecStart ExecStartPost ExecReload WantedBy OnCalendar Persistent RandomizedDelaySec " +
	"RequiresMountsFor User Group StateDirectory StateDirectoryMode UMask LimitNOFILE NoNewPrivileges " +
	"PrivateTmp ProtectHome ProtectSystem ReadWritePaths CapabilityBoundingSet AmbientCapabilities"

// readUnit reads a unit, such as countersign.service or countersign.
func readUnit(name string) (*unit, error) {
	if filepath.Ext(name) == "" {
		name += ".service"
	}
	path := filepath.Join("/etc/systemd/system", name)
	dropIns, err := filepath.Glob(path + ".d/*.conf")
	if err != nil {
		return nil, err
	}
	u := &unit{name: name, values: map[string][]string{}}
	for _, file := range append([]string{path}, dropIns...) {
		text, err := os.ReadFile(file)
		if err != nil {
			return nil, err
		}
		if err := u.parse(string(text)); err != nil {
			return nil, fmt.Errorf("%s: %w", file, err)
		}
	}
	return u, nil
}

// parse adds the directives of a file. An empty value of a list clears the list.
func (u *unit) parse(text string) error {
	known := strings.Fields(implemented)
	for line := range strings.Lines(text) {
		line = strings.TrimSpace(line)
		if line == "" || strings.HasPrefix(line, "#") || strings.HasPrefix(line, "[") {
			continue
		}
		name, value, ok := strings.Cut(line, "=")
		if !ok || !slices.Contains(known, name) {
			return fmt.Errorf("%s: directive not implemented", line)
		}
		if value == "" {
			u.values[name] = []string{}
			continue
		}
		u.values[name] = append(u.values[name], value)
	}
	return nil
}

// last returns the value of a directive that has one value, or "".
func (u *unit) last(name string) string {
	if list := u.values[name]; len(list) > 0 {
		return list[len(list)-1]
	}
	return ""
}

// words returns the values of a directive that is a list, and whether it is set at all.
func (u *unit) words(name string) (list []string, set bool) {
	values, set := u.values[name]
	return strings.Fields(strings.Join(values, " ")), set
}

// command splits a command line as systemd does: quotes group words, %% is a percent
// sign, $$ a dollar sign, and $MAINPID the process of the service.
func command(line, mainPID string) ([]string, error) {
	var words []string
	var word strings.Builder
	var quote rune
	inside := false
	for _, r := range line {
		switch {
		case quote == 0 && (r == '"' || r == '\''):
			quote, inside = r, true
		case r == quote:
			quote = 0
		case quote == 0 && r == ' ':
			if inside {
				words, inside = append(words, word.String()), false
				word.Reset()
			}
		default:
			word.WriteRune(r)
			inside = true
		}
	}
	if quote != 0 {
		return nil, fmt.Errorf("%s: unbalanced quotes", line)
	}
	if inside {
		words = append(words, word.String())
	}
	replace := strings.NewReplacer("%%", "%", "$$", "$", "$MAINPID", mainPID)
	for i, w := range words {
		words[i] = replace.Replace(w)
	}
	if len(words) == 0 || !filepath.IsAbs(words[0]) {
		return nil, fmt.Errorf("%q: a command begins with an absolute path", line)
	}
	return words, nil
}
