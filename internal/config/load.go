package config

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"reflect"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"go.yaml.in/yaml/v3"

	"countersign/internal/suggest"
	"countersign/internal/timetext"
)

// EnvPrefix is the prefix of the environment variables of settings.
const EnvPrefix = "COUNTERSIGN_"

// FileVariable is the environment variable with the path of the configuration file. It
// is not a setting, so [Read] skips it.
const FileVariable = EnvPrefix + "CONFIG"

// Read returns the defaults, overridden by the file at path ("" for no file), overridden
// by environ (entries "NAME=value", like os.Environ). It also returns the place of each
// setting.
//
// The variable of a setting is [EnvPrefix] and its key in capitals, with "_" for ".":
// COUNTERSIGN_LIMITS_REQUESTS_PER_SECOND sets limits.requests_per_second. Text is
// literal, a list of words is separated by commas, and carriers and routes are YAML, such
// as [{prefix: "44", carriers: [phone]}]. A list replaces the list of the file. Read skips
// the variables of a Kubernetes Service named countersign.
//
// The error has a [Problem] for each unknown setting or variable and each value of the
// wrong kind, in the order of the file, then of the environment. In that case it also has
// each value that is not one of the allowed words. Read does not validate further,
// since flags may still change settings: call [Config.Validate] afterwards.
func Read(path string, environ []string) (Config, Sources, error) {
	c := Default()
	from := Sources{file: path, lines: map[string]int{}, variables: map[string]string{}}
	var errs []error
	if path != "" {
		data, err := os.ReadFile(path)
		if err != nil {
			return Config{}, from, fmt.Errorf("config file: %w", err)
		}
		errs = append(errs, loadFile(&c, data, from))
	}
	errs = append(errs, loadEnv(&c, environ, from))
	found := problemsOf(errors.Join(errs...))
	if len(found) == 0 {
		return c, from, nil
	}
	for _, p := range problemsOf(c.Validate()) {
		if _, ok := errors.AsType[wordError](p); ok && from.sets(p.Key) {
			found = append(found, from.locate(*p))
		}
	}
	return Config{}, from, sorted(found)
}

func loadFile(c *Config, data []byte, from Sources) error {
	decoder := yaml.NewDecoder(bytes.NewReader(data))
	var doc, second yaml.Node
	switch err := decoder.Decode(&doc); {
	case errors.Is(err, io.EOF): // empty, or only comments
		return nil
	case err != nil:
		return syntax(from.file, err)
	}
	switch err := decoder.Decode(&second); {
	case err == nil:
		return &Problem{Reason: errors.New("more than one YAML document"), place: from.file + ":" + strconv.Itoa(second.Line), line: second.Line}
	case !errors.Is(err, io.EOF):
		return syntax(from.file, err)
	}
	linesOf(doc.Content[0], "", from.lines)
	err := set(reflect.ValueOf(c).Elem(), doc.Content[0], "")
	if p, ok := err.(*Problem); ok && p.Key == "" { //nolint:errorlint // set does not wrap it
		p.place = from.file
	}
	return Sources{file: from.file, lines: from.lines}.Locate(err)
}

func loadEnv(c *Config, environ []string, from Sources) error {
	known := variables(reflect.ValueOf(c).Elem(), "")
	keys := make(map[string]string, len(known)) // key by variable
	for key := range known {
		keys[variable(key)] = key
	}
	var errs []error
	for _, entry := range environ {
		name, value, ok := strings.Cut(entry, "=")
		if !ok || !strings.HasPrefix(name, EnvPrefix) || name == FileVariable {
			continue
		}
		key, ok := keys[name]
		if !ok {
			if !isServiceLink(name, value) {
				names := slices.Sorted(maps.Keys(keys))
				errs = append(errs, problem(name, "unknown variable%s", suggest.Hint(name, append(names, FileVariable))))
			}
			continue
		}
		from.variables[key] = name
		node, err := envNode(known[key].Type(), value)
		if err != nil {
			errs = append(errs, problem(name, "%w", err))
			continue
		}
		errs = append(errs, set(known[key], node, name))
	}
	return errors.Join(errs...)
}

// variable returns the name of the environment variable of a setting.
func variable(key string) string {
	return EnvPrefix + strings.ToUpper(strings.ReplaceAll(key, ".", "_"))
}

// isServiceLink reports whether Kubernetes sets the variable in every pod because of a
// Service named countersign. Such a variable is not a mistake.
func isServiceLink(name, value string) bool {
	rest := strings.TrimPrefix(name, EnvPrefix)
	link := regexp.MustCompile(`^(SERVICE_(HOST|PORT(_[A-Z0-9_]+)?)|PORT_[0-9]+_(TCP|UDP|SCTP)(_(PROTO|PORT|ADDR))?)$`)
	return link.MatchString(rest) || rest == "PORT" && strings.Contains(value, "://")
}

// variables returns the settings that have a variable, by key. The key cannot be derived
// from the variable, since an underscore may stand for a dot.
func variables(config reflect.Value, prefix string) map[string]reflect.Value {
	known := make(map[string]reflect.Value)
	for key, v := range fields(config) {
		if v.Kind() != reflect.Struct {
			known[prefix+key] = v
			continue
		}
		maps.Copy(known, variables(v, prefix+key+"."))
	}
	return known
}

// envNode returns the value of a variable as the equivalent YAML node.
func envNode(t reflect.Type, value string) (*yaml.Node, error) {
	switch {
	case t.Kind() == reflect.String:
		return text(value), nil
	case t.Kind() == reflect.Slice && value == "":
		return &yaml.Node{Kind: yaml.SequenceNode}, nil
	case t.Kind() == reflect.Slice && t.Elem().Kind() == reflect.String:
		list := &yaml.Node{Kind: yaml.SequenceNode}
		for word := range strings.SplitSeq(value, ",") {
			list.Content = append(list.Content, text(strings.TrimSpace(word)))
		}
		return list, nil
	}
	var doc yaml.Node
	if err := yaml.Unmarshal([]byte(value), &doc); err != nil {
		return nil, err
	}
	if len(doc.Content) == 0 {
		return text(""), nil
	}
	return doc.Content[0], nil
}

func text(s string) *yaml.Node {
	return &yaml.Node{Kind: yaml.ScalarNode, Tag: "!!str", Value: s}
}

// set stores the value of n in v, the setting with the given key, and returns all
// mismatches.
//
// It replaces the decoder of the YAML library, whose errors have Go types in place of
// keys, and which decodes 1.5 as 1. Text is literal: prefix: 044 is "044", not the octal
// number 36.
func set(v reflect.Value, n *yaml.Node, key string) error {
	if n.Kind == yaml.AliasNode {
		n = n.Alias
	}
	if n.Tag == "!!null" { // a key without value is ignored
		return nil
	}
	if v.Type() == reflect.TypeFor[time.Duration]() {
		return setDuration(v, n, key)
	}
	switch v.Kind() {
	case reflect.Struct:
		return setStruct(v, n, key)
	case reflect.Slice:
		return setSlice(v, n, key)
	case reflect.Map:
		return setMap(v, n, key)
	case reflect.String:
		if n.Kind != yaml.ScalarNode {
			return problem(key, "must be text, not a list or mapping")
		}
		v.SetString(n.Value)
		return nil
	case reflect.Int:
		i, err := strconv.Atoi(n.Value)
		if err != nil {
			return problem(key, "must be a whole number, not %q", n.Value)
		}
		v.SetInt(int64(i))
		return nil
	case reflect.Bool:
		if n.Value != "true" && n.Value != "false" {
			return problem(key, "must be true or false, not %q", n.Value)
		}
		v.SetBool(n.Value == "true")
		return nil
	default:
		return problem(key, "settings of type %s cannot be read yet", v.Type())
	}
}

func setDuration(v reflect.Value, n *yaml.Node, key string) error {
	d, err := timetext.Duration(n.Value)
	if err != nil {
		return problem(key, "%v", err)
	}
	v.SetInt(int64(d))
	return nil
}

func setStruct(v reflect.Value, n *yaml.Node, key string) error {
	if n.Kind != yaml.MappingNode {
		if key == "" {
			return problem("", "not a mapping of keys to values")
		}
		return problem(key, "must be a mapping of keys to values")
	}
	known := fields(v)
	seen := make(map[string]bool)
	var errs []error
	for i := 0; i < len(n.Content); i += 2 {
		name := n.Content[i].Value
		path := name
		if key != "" {
			path = key + "." + name
		}
		field, ok := known[name]
		switch {
		case !ok:
			errs = append(errs, problem(path, "unknown setting%s", didYouMean(name, v.Type())))
		case seen[name]:
			errs = append(errs, problem(path, "given twice"))
		default:
			errs = append(errs, set(field, n.Content[i+1], path))
		}
		seen[name] = true
	}
	return errors.Join(errs...)
}

func setSlice(v reflect.Value, n *yaml.Node, key string) error {
	if n.Kind != yaml.SequenceNode {
		return problem(key, "must be a list")
	}
	var errs []error
	v.SetZero() // a list replaces the default; an empty one is nil
	for i, element := range n.Content {
		e := reflect.New(v.Type().Elem()).Elem()
		errs = append(errs, set(e, element, key+"["+strconv.Itoa(i)+"]"))
		v.Set(reflect.Append(v, e))
	}
	return errors.Join(errs...)
}

// setMap stores a mapping with arbitrary keys. It replaces the whole map.
func setMap(v reflect.Value, n *yaml.Node, key string) error {
	if n.Kind != yaml.MappingNode {
		return problem(key, "must be a mapping of keys to values")
	}
	var errs []error
	v.Set(reflect.MakeMap(v.Type()))
	for i := 0; i < len(n.Content); i += 2 {
		name := reflect.ValueOf(n.Content[i].Value)
		path := key + "." + n.Content[i].Value
		if v.MapIndex(name).IsValid() {
			errs = append(errs, problem(path, "given twice"))
			continue
		}
		e := reflect.New(v.Type().Elem()).Elem()
		errs = append(errs, set(e, n.Content[i+1], path))
		v.SetMapIndex(name, e)
	}
	return errors.Join(errs...)
}

// fields returns the fields of a struct by their yaml names. All fields of Config have
// one.
func fields(v reflect.Value) map[string]reflect.Value {
	named := make(map[string]reflect.Value, v.NumField())
	for i := range v.NumField() {
		named[v.Type().Field(i).Tag.Get("yaml")] = v.Field(i)
	}
	return named
}

// didYouMean suggests a replacement for an unknown setting: a similar one in the same
// mapping, or the only setting of that name in another mapping.
func didYouMean(name string, mapping reflect.Type) string {
	settings := slices.Sorted(maps.Keys(fields(reflect.New(mapping).Elem())))
	if hint := suggest.Hint(name, settings); hint != "" {
		return hint
	}
	var elsewhere []string
	for key := range variables(reflect.New(reflect.TypeFor[Config]()).Elem(), "") {
		if strings.HasSuffix(key, "."+name) {
			elsewhere = append(elsewhere, key)
		}
	}
	if len(elsewhere) == 1 {
		return "; did you mean " + elsewhere[0] + "?"
	}
	return ""
}
