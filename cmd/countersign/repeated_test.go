package main

import (
	"fmt"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/alecthomas/kong"
)

// TestMostRepeated checks that every repeatable flag of a setting has a limit.
func TestMostRepeated(t *testing.T) {
	t.Parallel()
	parser, err := kong.New(&cli{}, kong.Name("countersign"))
	if err != nil {
		t.Fatal(err)
	}
	bounds := mostRepeated()
	var known []string
	for _, leaf := range parser.Model.Leaves(false) {
		for _, f := range leaf.Flags {
			if kind := f.Target.Kind(); kind == reflect.Slice || kind == reflect.Map {
				known = append(known, f.Name)
				if strings.HasPrefix(leaf.Path(), "countersign account ") && bounds[f.Name] == 0 {
					t.Errorf("%s --%s has no limit", leaf.Path(), f.Name)
				}
			}
		}
	}
	for name := range bounds {
		if !slices.Contains(known, name) {
			t.Errorf("--%s has a limit but is not a repeatable flag", name)
		}
	}
}

// TestRepeatedTooOften checks that the refusal precedes the parsing of values.
func TestRepeatedTooOften(t *testing.T) {
	t.Parallel()
	in := install(t)
	in.ok("account", "create", "Shop", "CONFIG", "--key=shop0001", "--secret=shopsecret")
	for name, most := range mostRepeated() {
		if name == "approve" {
			continue
		}
		args := []string{"account", "set", "shop0001", "CONFIG"}
		for range 10_000 {
			args = append(args, "--"+name, "no value that could be parsed")
		}
		in.fails(2, fmt.Sprintf("--%s: given 10000 times; at most %d are allowed", name, most), args...)
	}
}

// TestSettingWithSemicolon checks that the value of --setting may contain a semicolon.
func TestSettingWithSemicolon(t *testing.T) {
	t.Parallel()
	in := install(t)
	in.ok("account", "create", "Shop", "CONFIG", "--key=shop0001", "--secret=shopsecret")
	in.ok("account", "set", "shop0001", "CONFIG", `--setting=name="Shop; Bar"`)
	if got := in.credentials("shop0001").Name; got != "Shop; Bar" {
		t.Errorf("the name is %q", got)
	}
}
