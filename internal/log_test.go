package internal

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// TestLogAttributes checks that a log call repeats no attribute: neither its own nor those of
// With in the same package. Package logtest finds repeated attributes of loggers from other
// packages while tests run.
func TestLogAttributes(t *testing.T) {
	t.Parallel()
	type place struct{ key, at string }
	with, calls := map[string][]place{}, map[string][]place{} // keys are directories
	seen := 0
	visit := func(path string) error {
		files := token.NewFileSet()
		file, err := parser.ParseFile(files, path, nil, 0)
		if err != nil {
			return err
		}
		ast.Inspect(file, func(n ast.Node) bool {
			expr, ok := n.(*ast.CallExpr)
			if !ok {
				return true
			}
			method, first := logMethod(expr)
			if method == "" {
				return true
			}
			at := files.Position(expr.Pos()).String()
			var keys []string
			for i := first; i < len(expr.Args); i += 2 {
				literal, ok := expr.Args[i].(*ast.BasicLit)
				if !ok || literal.Kind != token.STRING {
					break // an slog.Attr, or keys that are not constant
				}
				if slices.Contains(keys, literal.Value) {
					t.Errorf("%s: %s twice", at, literal.Value)
				}
				keys = append(keys, literal.Value)
				seen++
				dir := filepath.Dir(path)
				if method == "With" {
					with[dir] = append(with[dir], place{literal.Value, at})
				} else {
					calls[dir] = append(calls[dir], place{literal.Value, at})
				}
			}
			return true
		})
		return nil
	}
	for _, root := range []string{".", "../cmd"} {
		err := filepath.WalkDir(root, func(path string, _ fs.DirEntry, err error) error {
			if err != nil || !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, "_test.go") {
				return err
			}
			return visit(path)
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	for dir, given := range with {
		for _, g := range given {
			for _, c := range calls[dir] {
				if c.key == g.key {
					t.Errorf("%s: %s repeats an attribute of With at %s", c.at, c.key, g.at)
				}
			}
		}
	}
	if seen < 50 || len(with) < 3 {
		t.Errorf("found %d attributes and %d packages with With, want more: the search is broken", seen, len(with))
	}
}

// logMethod returns the method of a call of a *slog.Logger and the place of its first
// attribute; "" for any other call. The receiver must be called log, Log, logger or
// Logger, or be a field of that name.
func logMethod(expr *ast.CallExpr) (method string, first int) {
	selector, ok := expr.Fun.(*ast.SelectorExpr)
	if !ok {
		return "", 0
	}
	name := ""
	switch x := selector.X.(type) {
	case *ast.Ident:
		name = x.Name
	case *ast.SelectorExpr:
		name = x.Sel.Name
	}
	if !slices.Contains([]string{"log", "Log", "logger", "Logger"}, name) {
		return "", 0
	}
	switch selector.Sel.Name {
	case "Debug", "Info", "Warn", "Error":
		return selector.Sel.Name, 1
	case "With":
		return "With", 0
	}
	return "", 0
}
