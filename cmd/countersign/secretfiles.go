package main

import (
	"errors"
	"fmt"
	"log/slog"
	"os"
	"os/user"
	"strconv"
	"strings"
	"syscall"

	"countersign/internal/config"
)

// checkSecretFiles warns of each file with secrets that other users can read, with the
// command that fixes it. With strict it returns them as an error. Missing files are not
// its concern.
func checkSecretFiles(files []config.SecretFile, strict bool, log *slog.Logger) error {
	var errs []error
	for _, f := range files {
		info, err := os.Stat(f.Path)
		if err != nil || !exposed(info) {
			continue
		}
		if strict {
			errs = append(errs, fmt.Errorf("%s: other users can read %s (mode %04o); run: %s", f.Setting, f.Path, info.Mode().Perm(), remedy(f.Path, info)))
			continue
		}
		log.Warn("other users can read a secret file", "setting", f.Setting, "file", f.Path,
			"mode", fmt.Sprintf("%04o", info.Mode().Perm()), "run", remedy(f.Path, info))
	}
	return errors.Join(errs...)
}

// exposed reports whether other users can read or write a file. A group may read a file
// of root: that is how a key of root gets to a server that runs as another user.
func exposed(info os.FileInfo) bool {
	mode := info.Mode().Perm()
	if owner, ok := info.Sys().(*syscall.Stat_t); ok && owner.Uid == 0 && os.Geteuid() != 0 {
		mode &^= 0o040
	}
	return info.Mode().IsRegular() && mode&0o066 != 0
}

// remedy is the command that leaves the file to this user.
func remedy(path string, info os.FileInfo) string {
	fix := "chmod 600 " + quoted(path)
	owner, ok := info.Sys().(*syscall.Stat_t)
	if me := os.Geteuid(); ok && me != 0 && int(owner.Uid) != me {
		name := strconv.Itoa(me)
		if u, err := user.LookupId(name); err == nil {
			name = u.Username
		}
		fix = "chown " + name + " " + quoted(path) + " && " + fix
	}
	return fix
}

// quoted quotes a path for a shell where it needs that.
func quoted(path string) string {
	for _, r := range path {
		letter := 'a' <= r && r <= 'z' || 'A' <= r && r <= 'Z' || '0' <= r && r <= '9'
		if !letter && !strings.ContainsRune("/.-_", r) {
			return "'" + strings.ReplaceAll(path, "'", `'\''`) + "'"
		}
	}
	return path
}
