package main

import (
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"regexp"
	"slices"
	"strings"
	"syscall"

	"github.com/alecthomas/kong"

	"countersign/internal/adminapi"
	"countersign/internal/suggest"
	"countersign/internal/web"
)

// Exit codes, documented in docs/reference/command-line.md.
const (
	exitOK          = 0
	exitFailed      = 1 // refused or failed
	exitUsage       = 2 // wrong command line
	exitNotFound    = 3 // a named object does not exist
	exitUnreachable = 4 // a server cannot be reached
)

// usageError is an error in the command line that the parser does not detect.
type usageError struct{ error }

func usagef(format string, args ...any) error { return usageError{fmt.Errorf(format, args...)} }

// notFoundError indicates that the command line names an object that does not exist.
type notFoundError struct{ error }

func notFoundf(format string, args ...any) error { return notFoundError{fmt.Errorf(format, args...)} }

// exitCode returns the exit code for the error of a command.
func exitCode(err error, command *kong.Context) int {
	if err == nil {
		return exitOK
	}
	if _, ok := errors.AsType[usageError](err); ok {
		return exitUsage
	}
	if _, ok := errors.AsType[notFoundError](err); ok {
		return exitNotFound
	}
	if p, ok := errors.AsType[*web.Problem](err); ok {
		switch {
		case p.Status == http.StatusNotFound:
			return exitNotFound
		case p.Status == http.StatusServiceUnavailable:
			return exitUnreachable
		case p.Status == http.StatusBadRequest && parameterOf(p, command) != "":
			return exitUsage
		}
		return exitFailed
	}
	if unreachable(err) {
		return exitUnreachable
	}
	return exitFailed
}

// unreachable reports whether a connection to a server failed or broke.
func unreachable(err error) bool {
	if op, ok := errors.AsType[*net.OpError](err); ok && op.Op == "dial" {
		return true
	}
	if _, ok := errors.AsType[*net.DNSError](err); ok {
		return true
	}
	if _, ok := errors.AsType[*adminapi.Unreachable](err); !ok {
		return false
	}
	var timeout net.Error
	return errors.As(err, &timeout) && timeout.Timeout() || errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) ||
		errors.Is(err, syscall.ECONNRESET) || errors.Is(err, syscall.EPIPE)
}

// parameterOf returns the flag ("--key") or argument ("<key>") that sets a parameter of
// the admin API; "" without one.
func parameterOf(p *web.Problem, command *kong.Context) string {
	if p.Parameter == "" || command == nil || command.Selected() == nil {
		return ""
	}
	for _, f := range command.Selected().Flags {
		if f.Tag.Get("param") == p.Parameter || f.Name == strings.ReplaceAll(p.Parameter, "_", "-") {
			return "--" + f.Name
		}
	}
	for _, arg := range command.Selected().Positional {
		if arg.Tag.Get("param") == p.Parameter || arg.Name == p.Parameter {
			return "<" + arg.Name + ">"
		}
	}
	return ""
}

// named replaces the parameter in an error of the API with its flag or argument.
func named(err error, command *kong.Context) error {
	problem, ok := errors.AsType[*web.Problem](err)
	if !ok {
		return err
	}
	if parameter := parameterOf(problem, command); parameter != "" {
		return fmt.Errorf("%s: %s", parameter, problem.Detail)
	}
	return err
}

// complain prints an error without repeated lines. Several parts can fail for one reason,
// and a driver that retries joins equal errors.
func (p *process) complain(err error) {
	var lines []string
	for line := range strings.SplitSeq(err.Error(), "\n") {
		line = strings.TrimSpace(line)
		if line != "" && !slices.Contains(lines, line) {
			lines = append(lines, line)
			_, _ = fmt.Fprintf(p.stderr, "error: %s\n", line)
		}
	}
}

var (
	unexpectedWord = regexp.MustCompile(`^unexpected argument (\S+?)(, did you mean .*)?$`)
	unknownFlag    = regexp.MustCompile(`^unknown flag (--[^\s,]+)(, did you mean .*)?$`)
)

// misused returns an error of the parser with the nearest command, flag or value.
func misused(err error) error {
	parse, ok := errors.AsType[*kong.ParseError](err)
	if !ok || parse.Context == nil {
		return err
	}
	node := parse.Context.Selected()
	if node == nil {
		node = parse.Context.Model.Node
	}
	if word := unexpectedWord.FindStringSubmatch(err.Error()); word != nil {
		var known []string
		for _, child := range node.Children {
			if !child.Hidden {
				known = append(append(known, child.Name), child.Aliases...)
			}
		}
		return fmt.Errorf("unexpected argument %s%s", word[1], suggest.Hint(word[1], known))
	}
	var known []string
	for _, flags := range node.AllFlags(true) {
		for _, f := range flags {
			known = append(known, "--"+f.Name)
			if wrong := wrongWord(err, "--"+f.Name, f.Value, parse.Context.FlagValue(f)); wrong != nil {
				return wrong
			}
		}
	}
	for _, arg := range node.Positional {
		if wrong := wrongWord(err, "<"+arg.Name+">", arg, argumentOf(parse.Context, arg)); wrong != nil {
			return wrong
		}
	}
	if word := unknownFlag.FindStringSubmatch(err.Error()); word != nil {
		return fmt.Errorf("unknown flag %s%s", word[1], suggest.Hint(word[1], known))
	}
	return err
}

// wrongWord returns the error for a value that is not one of the words of a flag or
// argument; nil if err has another cause.
func wrongWord(err error, name string, v *kong.Value, given any) error {
	words := slices.DeleteFunc(v.EnumSlice(), func(s string) bool { return s == "" })
	if len(words) < 2 || !strings.HasPrefix(err.Error(), name+" must be one of ") {
		return nil
	}
	last, value := len(words)-1, fmt.Sprint(given)
	return fmt.Errorf("%s must be one of %s or %s, not %q%s",
		name, strings.Join(words[:last], ", "), words[last], value, suggest.Hint(value, words))
}

// argumentOf returns the value of an argument on the command line.
func argumentOf(parsed *kong.Context, arg *kong.Value) any {
	for _, part := range parsed.Path {
		if part.Positional == arg {
			return parsed.Value(part).Interface()
		}
	}
	return ""
}
