package main

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
)

// confine replaces this process by a command under the restrictions of a unit. It changes
// the mounts of the process: call it in a new mount namespace.
func confine(u *unit, args []string) error {
	who, err := user.Lookup(u.last("User"))
	if err != nil {
		return err
	}
	if err := u.mounts(who); err != nil {
		return err
	}
	if limit := u.last("LimitNOFILE"); limit != "" {
		n, err := strconv.ParseUint(limit, 10, 64)
		if err != nil {
			return fmt.Errorf("LimitNOFILE: %w", err)
		}
		if err := limitFiles(n); err != nil {
			return fmt.Errorf("LimitNOFILE: %w", err)
		}
	}
	if mask := u.last("UMask"); mask != "" {
		n, err := strconv.ParseUint(mask, 8, 12)
		if err != nil {
			return fmt.Errorf("UMask: %w", err)
		}
		syscall.Umask(int(n))
	}
	group := u.last("Group")
	if group == "" {
		group = who.Gid
	}
	setpriv := []string{"setpriv", "--reuid", who.Uid, "--regid", group, "--init-groups"}
	if u.last("NoNewPrivileges") == "true" {
		setpriv = append(setpriv, "--no-new-privs")
	}
	if keep, set := u.words("CapabilityBoundingSet"); set {
		setpriv = append(setpriv, "--bounding-set", capabilities(keep))
	}
	ambient, _ := u.words("AmbientCapabilities")
	setpriv = append(setpriv, "--inh-caps", capabilities(ambient), "--ambient-caps", capabilities(ambient))
	path, err := exec.LookPath("setpriv")
	if err != nil {
		return err
	}
	environ := []string{
		"PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "LANG=C.UTF-8",
		"HOME=" + who.HomeDir, "USER=" + who.Username,
	}
	return syscall.Exec(path, append(append(setpriv, "--"), args...), environ)
}

// limitFiles sets the limit of open files: to the hard limit of this process where root
// lacks CAP_SYS_RESOURCE, as in containers.
func limitFiles(n uint64) error {
	err := syscall.Setrlimit(syscall.RLIMIT_NOFILE, &syscall.Rlimit{Cur: n, Max: n})
	if !errors.Is(err, syscall.EPERM) {
		return err
	}
	var limit syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &limit); err != nil {
		return err
	}
	limit.Cur = limit.Max
	return syscall.Setrlimit(syscall.RLIMIT_NOFILE, &limit)
}

// capabilities returns a set without all capabilities but those given, as setpriv takes it.
func capabilities(keep []string) string {
	set := "-all"
	for _, c := range keep {
		set += ",+" + strings.ToLower(strings.TrimPrefix(c, "CAP_"))
	}
	return set
}

// mounts applies the directives on the file system.
func (u *unit) mounts(who *user.User) error {
	if err := syscall.Mount("", "/", "", syscall.MS_REC|syscall.MS_PRIVATE, ""); err != nil {
		return fmt.Errorf("make mounts private: %w", err)
	}
	writable, err := u.writable(who)
	if err != nil {
		return err
	}
	if u.last("ProtectSystem") == "strict" {
		for _, dir := range writable {
			if err := syscall.Mount(dir, dir, "", syscall.MS_BIND, ""); err != nil {
				return fmt.Errorf("bind %s: %w", dir, err)
			}
		}
		if err := readOnly(writable); err != nil {
			return err
		}
	} else if u.last("ProtectSystem") != "" {
		return errors.New("ProtectSystem: only strict is implemented")
	}
	if u.last("PrivateTmp") == "true" {
		for _, dir := range []string{"/tmp", "/var/tmp"} {
			if err := syscall.Mount("tmpfs", dir, "tmpfs", 0, "mode=1777"); err != nil {
				return fmt.Errorf("private %s: %w", dir, err)
			}
		}
	}
	if u.last("ProtectHome") == "true" {
		for _, dir := range []string{"/home", "/root", "/run/user"} {
			if err := syscall.Mount("tmpfs", dir, "tmpfs", syscall.MS_RDONLY, "mode=000"); err != nil && !errors.Is(err, syscall.ENOENT) {
				return fmt.Errorf("hide %s: %w", dir, err)
			}
		}
	}
	return nil
}

// writable creates the state directory and returns it with the other directories that
// the unit may write.
func (u *unit) writable(who *user.User) ([]string, error) {
	var list []string
	uid, err := strconv.Atoi(who.Uid)
	if err != nil {
		return nil, err
	}
	gid, err := strconv.Atoi(who.Gid)
	if err != nil {
		return nil, err
	}
	if state := u.last("StateDirectory"); state != "" {
		mode, err := strconv.ParseUint(u.last("StateDirectoryMode"), 8, 12)
		if err != nil {
			return nil, fmt.Errorf("StateDirectoryMode: %w", err)
		}
		dir := filepath.Join("/var/lib", state)
		if err := errors.Join(os.MkdirAll(dir, 0o700), os.Chmod(dir, os.FileMode(mode)), os.Chown(dir, uid, gid)); err != nil {
			return nil, fmt.Errorf("state directory: %w", err)
		}
		list = append(list, dir)
	}
	paths, _ := u.words("ReadWritePaths")
	for _, path := range paths {
		dir, optional := strings.CutPrefix(path, "-")
		if _, err := os.Stat(dir); err != nil {
			if optional {
				continue
			}
			return nil, fmt.Errorf("ReadWritePaths: %w", err)
		}
		list = append(list, dir)
	}
	return list, nil
}

// readOnly makes every mount read-only, except writable ones and mounts below /dev, /proc
// and /sys.
func readOnly(writable []string) error {
	mounts, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		return err
	}
	for line := range strings.Lines(string(mounts)) {
		point := strings.Fields(line)[4]
		if slices.Contains(writable, point) || point != "/" && slices.Contains([]string{"dev", "proc", "sys"}, strings.SplitN(point, "/", 3)[1]) {
			continue
		}
		err := syscall.Mount("", point, "", syscall.MS_REMOUNT|syscall.MS_BIND|syscall.MS_RDONLY, "")
		if err != nil && !errors.Is(err, syscall.ENOENT) && !errors.Is(err, syscall.EINVAL) { // hidden under another mount
			return fmt.Errorf("make %s read-only: %w", point, err)
		}
	}
	return nil
}
