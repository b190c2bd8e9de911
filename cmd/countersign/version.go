package main

import (
	"cmp"
	"fmt"
	"runtime"
	"runtime/debug"

	"github.com/alecthomas/kong"
)

type versionCmd struct{ outputFlags }

// Run prints the version.
func (c *versionCmd) Run(p *process) error { return printVersion(p, c.outputFlags) }

// versionFlag is --version.
type versionFlag bool

// BeforeReset prints the version and ends the process, before the command line is checked.
func (versionFlag) BeforeReset(app *kong.Kong, p *process) error {
	if err := printVersion(p, outputFlags{Output: "table"}); err != nil {
		return err
	}
	app.Exit(exitOK)
	return nil
}

// build is the origin of the binary, as recorded by the toolchain.
type build struct {
	Version  string `json:"version"`    // tag, or pseudo-version of the commit
	Commit   string `json:"commit"`     // "" if built outside a repository
	Modified bool   `json:"modified"`   // the working tree differed from the commit
	Time     string `json:"build_time"` // time of the commit, so that equal sources build equal binaries
	Go       string `json:"go_version"`
	Platform string `json:"platform"`
}

func printVersion(p *process, f outputFlags) error {
	b := thisBuild()
	commit := cmp.Or(b.Commit, "unknown")
	if b.Modified {
		commit += " (modified)"
	}
	return record[build]{
		document: b,
		ids:      []string{b.Version},
		text: fmt.Sprintf("countersign %s\ncommit: %s\nbuild time: %s\ngo version: %s %s\n",
			b.Version, commit, cmp.Or(b.Time, "unknown"), b.Go, b.Platform),
	}.print(p, f)
}

func buildOf(info *debug.BuildInfo, ok bool) build {
	b := build{Version: "(devel)", Go: runtime.Version(), Platform: runtime.GOOS + "/" + runtime.GOARCH}
	if !ok {
		return b
	}
	b.Version = cmp.Or(info.Main.Version, b.Version)
	for _, s := range info.Settings {
		switch s.Key {
		case "vcs.revision":
			b.Commit = s.Value
		case "vcs.time":
			b.Time = s.Value
		case "vcs.modified":
			b.Modified = s.Value == "true"
		}
	}
	return b
}

// thisBuild returns the origin of this binary.
func thisBuild() build { return buildOf(debug.ReadBuildInfo()) }
