package main

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"
)

func main() {
	if err := run(filepath.Base(os.Args[0]), os.Args[1:]); err != nil {
		if exit, ok := errors.AsType[*exec.ExitError](err); ok {
			os.Exit(exit.ExitCode())
		}
		fmt.Fprintf(os.Stderr, "%s: %v\n", filepath.Base(os.Args[0]), err)
		os.Exit(1)
	}
}

func run(name string, args []string) error {
	switch {
	case name == "confine" && len(args) > 1: // started by confined, in a mount namespace
		u, err := readUnit(args[0])
		if err != nil {
			return err
		}
		return confine(u, args[1:])
	case name == "sudo" && len(args) > 2 && args[0] == "-u":
		return sudo(args[1], args[2:])
	case name == "systemctl" && slices.Equal(args, []string{"daemon-reload"}):
		return nil
	case name == "systemctl" && len(args) > 1:
		return systemctl(args[0], slices.DeleteFunc(args[1:], func(a string) bool { return a == "--now" }))
	}
	return fmt.Errorf("%v: not implemented", args)
}

// sudo runs a command as the user of the service, and under its restrictions.
func sudo(user string, args []string) error {
	u, err := readUnit("countersign")
	if errors.Is(err, os.ErrNotExist) || err == nil && u.last("User") != user {
		return fmt.Errorf("no unit of the user %s: %w", user, err)
	}
	if err != nil {
		return err
	}
	return u.confined(args).Run()
}

func systemctl(verb string, names []string) error {
	for _, name := range names {
		u, err := readUnit(name)
		if err != nil {
			return err
		}
		switch verb {
		case "start", "enable":
			err = u.start()
		case "stop":
			err = u.stop()
		case "restart":
			err = errors.Join(u.stop(), u.start())
		case "reload":
			err = u.execute("ExecReload")
		default:
			err = errors.New("not implemented")
		}
		if err != nil {
			return fmt.Errorf("%s %s: %w", verb, name, err)
		}
	}
	return nil
}

// confined returns a command that runs under the restrictions of the unit.
func (u *unit) confined(args []string) *exec.Cmd {
	cmd := exec.Command("/proc/self/exe", append([]string{u.name}, args...)...)
	cmd.Args[0] = "confine"
	cmd.Stdin, cmd.Stdout, cmd.Stderr = os.Stdin, os.Stdout, os.Stderr
	cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWNS}
	return cmd
}

// execute runs the commands of a directive and waits for each.
func (u *unit) execute(directive string) error {
	if len(u.values[directive]) == 0 {
		return fmt.Errorf("%s has no %s", u.name, directive)
	}
	pid, _ := os.ReadFile(u.pidFile()) // missing for a oneshot service
	for _, line := range u.values[directive] {
		args, err := command(line, string(pid))
		if err != nil {
			return err
		}
		if err := u.confined(args).Run(); err != nil {
			return err
		}
	}
	return nil
}

func (u *unit) pidFile() string { return filepath.Join("/run", u.name+".pid") }

// start starts the service and appends its output to /run/UNIT.log. It waits for the end
// of a oneshot service. Timers have no effect.
func (u *unit) start() error {
	if filepath.Ext(u.name) == ".timer" {
		return nil
	}
	if u.last("Type") == "oneshot" {
		if err := u.execute("ExecStart"); err != nil || len(u.values["ExecStartPost"]) == 0 {
			return err
		}
		return u.execute("ExecStartPost")
	}
	args, err := command(u.last("ExecStart"), "")
	if err != nil {
		return err
	}
	log, err := os.OpenFile(filepath.Join("/run", u.name+".log"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	cmd := u.confined(args)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = nil, log, log
	cmd.SysProcAttr.Setsid = true
	if err := cmd.Start(); err != nil {
		return err
	}
	return os.WriteFile(u.pidFile(), []byte(strconv.Itoa(cmd.Process.Pid)), 0o600)
}

// stop ends the service and waits for the end of its process.
func (u *unit) stop() error {
	text, err := os.ReadFile(u.pidFile())
	if err != nil {
		return err
	}
	pid, err := strconv.Atoi(string(text))
	if err != nil {
		return err
	}
	if err := syscall.Kill(pid, syscall.SIGTERM); err != nil {
		return err
	}
	wait, err := strconv.Atoi(u.last("TimeoutStopSec"))
	if err != nil {
		return fmt.Errorf("TimeoutStopSec: %w", err)
	}
	for end := time.Now().Add(time.Duration(wait) * time.Second); time.Now().Before(end); time.Sleep(10 * time.Millisecond) {
		stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
		if err != nil || strings.Contains(string(stat), ") Z ") { // ended, or a zombie
			return os.Remove(u.pidFile())
		}
	}
	return fmt.Errorf("did not stop within %d s", wait)
}
