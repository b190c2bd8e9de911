package main

import "runtime/debug"

type versionCmd struct{}

// Run prints the version.
func (c *versionCmd) Run(p *process) error {
	p.printf("countersign %s\n", version())
	return nil
}

// version is the tag or commit that the binary was built from, as far as the
// toolchain recorded it.
func version() string {
	info, ok := debug.ReadBuildInfo()
	if !ok || info.Main.Version == "" {
		return "(devel)"
	}
	return info.Main.Version
}
