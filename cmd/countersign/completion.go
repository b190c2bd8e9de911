package main

import (
	"embed"
	"slices"
	"strings"

	"github.com/alecthomas/kong"
)

// scripts are the completion scripts: completion.bash and so on. Each runs
// "countersign __complete -- WORD..." and offers its lines.
//
//go:embed completion.bash completion.zsh completion.fish
var scripts embed.FS

type completionCmd struct {
	Shell string `arg:"" help:"bash, zsh or fish." enum:"bash,zsh,fish"`
}

// Run prints the script.
func (c *completionCmd) Run(p *process) error {
	script, err := scripts.ReadFile("completion." + c.Shell)
	p.essential(strings.TrimSuffix(string(script), "\n"))
	return err
}

type candidatesCmd struct {
	Words []string `arg:"" optional:"" passthrough:"" help:"Words after the program's name; the last is completed and may be empty."`
}

// files is the candidate that requests completion of file names.
const files = ":files"

// Run prints a candidate on each line, with its description after a tab.
func (c *candidatesCmd) Run(p *process) error {
	parser, err := newParser(&cli{}, p)
	if err != nil {
		return err
	}
	words := c.Words
	if len(words) > 0 && words[0] == "--" { // passthrough keeps it, so that flags may follow
		words = words[1:]
	}
	for _, found := range candidates(parser.Model.Node, words) {
		p.essential(strings.TrimSuffix(found.word+"\t"+found.help, "\t"))
	}
	return nil
}

type candidate struct{ word, help string }

// candidates returns the completions of the last word.
func candidates(node *kong.Node, words []string) []candidate {
	if len(words) == 0 {
		words = []string{""}
	}
	words = joined(words)
	last := words[len(words)-1]
	flags := flagsOf(node)
	var pending *kong.Flag // flag that takes the next word as its value
	arguments, onlyArguments := 0, false
	for _, word := range words[:len(words)-1] {
		name, _, hasValue := strings.Cut(word, "=")
		switch {
		case pending != nil:
			pending = nil
		case onlyArguments:
			arguments++
		case word == "--":
			onlyArguments = true
		case strings.HasPrefix(word, "-") && len(word) > 1:
			if f := flags[name]; f != nil && !f.IsBool() && !f.IsCounter() && !hasValue {
				pending = f
			}
		default:
			if child := childOf(node, word); child != nil {
				node, flags = child, flagsOf(child)
			} else {
				arguments++
			}
		}
	}
	if pending != nil {
		return valuesOf(pending.Value, "", last)
	}
	if name, value, ok := strings.Cut(last, "="); ok && strings.HasPrefix(last, "--") && !onlyArguments {
		if f := flags[name]; f != nil {
			return valuesOf(f.Value, name+"=", value)
		}
		return nil
	}
	if strings.HasPrefix(last, "-") && !onlyArguments {
		return flagCandidates(node, last)
	}
	return wordCandidates(node, arguments, last)
}

// joined rejoins the words that bash splits at "=".
func joined(words []string) []string {
	var whole []string
	for i := 0; i < len(words); i++ {
		if words[i] == "=" && len(whole) > 0 && strings.HasPrefix(whole[len(whole)-1], "--") {
			whole[len(whole)-1] += "="
			if i+1 < len(words) {
				i++
				whole[len(whole)-1] += words[i]
			}
			continue
		}
		whole = append(whole, words[i])
	}
	return whole
}

// flagsOf returns the flags of a command, including hidden flags, by "--name" and "-n".
func flagsOf(node *kong.Node) map[string]*kong.Flag {
	named := map[string]*kong.Flag{}
	for _, group := range node.AllFlags(false) {
		for _, f := range group {
			named["--"+f.Name] = f
			if f.Short != 0 {
				named["-"+string(f.Short)] = f
			}
		}
	}
	return named
}

func childOf(node *kong.Node, word string) *kong.Node {
	for _, child := range node.Children {
		if child.Name == word || slices.Contains(child.Aliases, word) {
			return child
		}
	}
	return nil
}

func flagCandidates(node *kong.Node, start string) (found []candidate) {
	for _, group := range node.AllFlags(true) {
		for _, f := range group {
			names := []string{"--" + f.Name}
			if f.Tag.Negatable != "" {
				names = append(names, "--no-"+f.Name)
			}
			for _, name := range names {
				if strings.HasPrefix(name, start) {
					found = append(found, candidate{name, f.Help})
				}
			}
		}
	}
	return found
}

// wordCandidates returns commands, or values of the next argument.
func wordCandidates(node *kong.Node, arguments int, start string) (found []candidate) {
	for _, child := range node.Children {
		if !child.Hidden && strings.HasPrefix(child.Name, start) {
			found = append(found, candidate{child.Name, child.Help})
		}
	}
	if arguments < len(node.Positional) {
		found = append(found, valuesOf(node.Positional[arguments], "", start)...)
	}
	return found
}

// valuesOf returns the allowed values of a flag or argument, each after prefix, or [files].
func valuesOf(v *kong.Value, prefix, start string) (found []candidate) {
	if v.Enum == "" && takesFile(v) {
		return []candidate{{word: files}}
	}
	for _, word := range v.EnumSlice() {
		if word != "" && strings.HasPrefix(word, start) {
			found = append(found, candidate{word: prefix + word})
		}
	}
	return found
}

// takesFile reports whether a value is the path of a file or directory.
func takesFile(v *kong.Value) bool {
	if v.Flag != nil && (v.Flag.PlaceHolder == "FILE" || v.Flag.PlaceHolder == "DIR") {
		return true
	}
	return slices.Contains([]string{"path", "existingfile", "existingdir"}, v.Tag.Type)
}
