package check

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/user"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"

	"countersign/internal/config"
	"countersign/internal/server"
	"countersign/internal/store"
	"countersign/internal/vault"
)

// Exposed is a file with secrets that other users can read.
type Exposed struct {
	config.SecretFile
	Mode   string // in octal, such as 0644
	Remedy string // command that leaves the file to this user
}

// ExposedFiles returns the files that other users can read. It skips missing files.
func ExposedFiles(files []config.SecretFile) (list []Exposed) {
	for _, f := range files {
		info, err := os.Stat(f.Path)
		if err == nil && exposed(info) {
			list = append(list, Exposed{f, fmt.Sprintf("%04o", info.Mode().Perm()), remedy(f.Path, info)})
		}
	}
	return list
}

// exposed reports whether other users can read or write a file. A group may read a file
// of root, so that a server of another user can have a key that only root may change.
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
		fix = "chown " + userName() + " " + quoted(path) + " && " + fix
	}
	return fix
}

// userName returns the name of the user of this process, or the number without a name.
func userName() string {
	id := strconv.Itoa(os.Geteuid())
	if u, err := user.LookupId(id); err == nil {
		return u.Username
	}
	return id
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

func secretFiles(_ context.Context, in *installation) (found []Finding) {
	for _, f := range ExposedFiles(in.Config.SecretFiles(in.File)) {
		found = append(found, warn(f.Setting, fmt.Sprintf("other users can read %s (mode %s)", f.Path, f.Mode), "run: "+f.Remedy)...)
	}
	return found
}

// keyFile checks a key file that exists. A first start creates a missing one.
func keyFile(_ context.Context, in *installation) []Finding {
	_, err := vault.LoadKey(in.Config.KeyFile)
	switch {
	case err == nil:
		return nil
	case !errors.Is(err, fs.ErrNotExist):
		return fail("key_file", err.Error(), "restore the key file from its copy, readable for "+userName())
	case in.survey().state == store.Used:
		return fail("key_file", "key file "+in.Config.KeyFile+" is missing, but the database exists",
			"restore the key file from its copy; a new key cannot decrypt the database")
	}
	return nil
}

// directories checks that the directories of the database and of the files that a server
// creates can be written, or created.
func directories(_ context.Context, in *installation) (found []Finding) {
	paths := []struct{ setting, path string }{}
	if database, err := in.Config.StoreDatabase(); err == nil && !store.IsPostgres(database) {
		paths = append(paths, struct{ setting, path string }{"database", database})
	}
	if in.Config.Admin.Listen != "" && in.Config.Admin.TokenFile != "" && missing(in.Config.Admin.TokenFile) {
		paths = append(paths, struct{ setting, path string }{"admin.token_file", in.Config.Admin.TokenFile})
	}
	if missing(in.Config.KeyFile) && in.survey().state != store.Used {
		paths = append(paths, struct{ setting, path string }{"key_file", in.Config.KeyFile})
	}
	for _, p := range paths {
		dir := filepath.Dir(p.path)
		if err := writable(dir); err != nil {
			found = append(found, fail(p.setting, fmt.Sprintf("directory %s cannot be written by %s: %v", dir, userName(), err),
				fmt.Sprintf("run: install -d -o %s -m 700 %s, or mount its volume for writing", userName(), quoted(dir)))...)
		}
	}
	return found
}

func missing(path string) bool {
	_, err := os.Stat(path)
	return errors.Is(err, fs.ErrNotExist)
}

// writable returns why this user can neither write a directory nor create it in the nearest
// directory above it that exists.
func writable(dir string) error {
	const writeAndSearch = 2 | 1 // W_OK, X_OK of access(2)
	for {
		info, err := os.Stat(dir)
		if errors.Is(err, fs.ErrNotExist) && dir != filepath.Dir(dir) {
			dir = filepath.Dir(dir)
			continue
		}
		switch {
		case err != nil:
			return err
		case !info.IsDir():
			return fmt.Errorf("%s is not a directory", dir)
		}
		return syscall.Access(dir, writeAndSearch)
	}
}

// openFiles compares the limit of open files with the configured connections.
func openFiles(_ context.Context, in *installation) []Finding {
	files, err := server.OpenFiles()
	if err != nil {
		return warn("", err.Error(), "run it on Linux")
	}
	connections, reserved := in.Config.Limits.Connections, server.ReservedFiles(in.Config)
	switch {
	case files < reserved:
		return warn("limits.connections", fmt.Sprintf("the process may open %d files, and carriers, calls and the database may need %d", files, reserved),
			fmt.Sprintf("raise the limit (LimitNOFILE=%d in the unit, ulimit -n)", reserved+max(connections, 1024)))
	case connections > 0 && files-reserved < connections:
		return warn("limits.connections", fmt.Sprintf("%d connections are allowed, and the limit of %d open files leaves %d", connections, files, files-reserved),
			fmt.Sprintf("raise the limit (LimitNOFILE=%d in the unit, ulimit -n), or set limits.connections lower", reserved+connections))
	}
	return nil
}
