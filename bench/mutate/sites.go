package main

import (
	"cmp"
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"path/filepath"
	"slices"
)

// site is a place in a source file, and the text that replaces it in a mutant.
type site struct {
	file       string // path of the file
	line, col  int    // from 1, in bytes, as the go command prints them
	start, end int    // offsets in the file, in bytes
	kind       string // one of the kinds of the package comment
	function   string // name of the function, with its receiver: "(*Book).Price"
	before     string // source text of the place
	after      string // source text of the mutant
	order      uint64 // place in the order of the sample
}

// mutant returns source, the content of the site's file, with the place replaced.
func (s site) mutant(source []byte) []byte {
	return slices.Concat(source[:s.start], []byte(s.after), source[s.end:])
}

// findSites returns the sites of the named files in the order of the sample, which
// depends on seed. It skips generated files.
func findSites(files []string, seed uint64) ([]site, error) {
	var all []site
	for _, name := range files {
		source, err := os.ReadFile(name)
		if err != nil {
			return nil, err
		}
		set := token.NewFileSet()
		file, err := parser.ParseFile(set, name, source, parser.ParseComments|parser.SkipObjectResolution)
		if err != nil {
			return nil, fmt.Errorf("parse %s: %w", name, err)
		}
		if ast.IsGenerated(file) {
			continue
		}
		f := finder{set: set, name: name, source: source}
		for _, d := range file.Decls {
			if fn, ok := d.(*ast.FuncDecl); ok && fn.Body != nil {
				f.function = functionName(fn)
				f.walk(fn.Body, fn.Type)
			}
		}
		all = append(all, f.sites...)
	}
	arrange(all, seed)
	return all, nil
}

// arrange sorts sites by a hash of the seed and of the text of each. Two sites with
// the same text in one function differ by their rank in it.
func arrange(sites []site, seed uint64) {
	type text struct{ file, function, kind, before string }
	seen := make(map[text]uint64)
	for i, s := range sites {
		t := text{filepath.Base(s.file), s.function, s.kind, s.before}
		sum := sha256.Sum256(fmt.Appendf(nil, "%d %q %d", seed, t, seen[t]))
		seen[t]++
		sites[i].order = binary.BigEndian.Uint64(sum[:])
	}
	slices.SortStableFunc(sites, func(a, b site) int { return cmp.Compare(a.order, b.order) })
}

func functionName(fn *ast.FuncDecl) string {
	if fn.Recv == nil || len(fn.Recv.List) == 0 {
		return fn.Name.Name
	}
	receiver, star := fn.Recv.List[0].Type, ""
	if p, ok := receiver.(*ast.StarExpr); ok {
		receiver, star = p.X, "*"
	}
	switch generic := receiver.(type) {
	case *ast.IndexExpr:
		receiver = generic.X
	case *ast.IndexListExpr:
		receiver = generic.X
	}
	if name, ok := receiver.(*ast.Ident); ok {
		return fmt.Sprintf("(%s%s).%s", star, name.Name, fn.Name.Name)
	}
	return fn.Name.Name
}

// finder collects the sites of one file.
type finder struct {
	set      *token.FileSet
	name     string
	source   []byte
	function string
	sites    []site
}

// walk adds the sites of a function's body. It handles a function literal with the
// literal's own results.
func (f *finder) walk(body *ast.BlockStmt, signature *ast.FuncType) {
	ast.Inspect(body, func(n ast.Node) bool {
		switch n := n.(type) {
		case *ast.FuncLit:
			f.walk(n.Body, n.Type)
			return false
		case *ast.IfStmt:
			f.add(n.Cond, "negate", "!("+f.text(n.Cond)+")")
		case *ast.BinaryExpr:
			f.binary(n)
		case *ast.ReturnStmt:
			f.returned(n, signature)
		case *ast.BlockStmt:
			f.statements(n.List)
		case *ast.CaseClause:
			f.statements(n.Body)
		case *ast.CommClause:
			f.statements(n.Body)
		}
		return true
	})
}

func (f *finder) binary(n *ast.BinaryExpr) {
	var kind string
	var other token.Token
	switch n.Op {
	case token.LSS:
		kind, other = "compare", token.LEQ
	case token.LEQ:
		kind, other = "compare", token.LSS
	case token.GTR:
		kind, other = "compare", token.GEQ
	case token.GEQ:
		kind, other = "compare", token.GTR
	case token.EQL:
		kind, other = "compare", token.NEQ
	case token.NEQ:
		kind, other = "compare", token.EQL
	case token.LAND:
		kind, other = "logic", token.LOR
	case token.LOR:
		kind, other = "logic", token.LAND
	default:
		return
	}
	left, right := f.text(n.X), f.text(n.Y)
	f.add(n, kind, left+" "+other.String()+" "+right)
}

// statements adds a removal for each statement with an effect. The mutant keeps the
// statement in a function that is never called, so that its names stay in use.
func (f *finder) statements(list []ast.Stmt) {
	for _, s := range list {
		switch s := s.(type) {
		case *ast.AssignStmt:
			if s.Tok == token.DEFINE || allBlank(s.Lhs) {
				continue
			}
		case *ast.ExprStmt, *ast.IncDecStmt, *ast.DeferStmt, *ast.SendStmt, *ast.GoStmt:
		default:
			continue
		}
		f.add(s, "remove", "_ = func() { "+f.text(s)+" }")
	}
}

func allBlank(list []ast.Expr) bool {
	return !slices.ContainsFunc(list, func(e ast.Expr) bool {
		name, ok := e.(*ast.Ident)
		return !ok || name.Name != "_"
	})
}

func (f *finder) returned(n *ast.ReturnStmt, signature *ast.FuncType) {
	if signature.Results == nil || len(n.Results) == 0 || len(n.Results) != signature.Results.NumFields() {
		return // a bare return, or one call with several results
	}
	for _, e := range n.Results {
		if name, ok := e.(*ast.Ident); ok && (name.Name == "true" || name.Name == "false") {
			f.add(e, "bool", map[string]string{"true": "false", "false": "true"}[name.Name])
		}
	}
	last := n.Results[len(n.Results)-1]
	kind, ok := signature.Results.List[len(signature.Results.List)-1].Type.(*ast.Ident)
	if !ok || kind.Name != "error" {
		return
	}
	if name, ok := last.(*ast.Ident); ok && name.Name == "nil" {
		return
	}
	f.add(last, "swallow", "func() error { _ = "+f.text(last)+"; return nil }()")
}

func (f *finder) text(n ast.Node) string {
	return string(f.source[f.offset(n.Pos()):f.offset(n.End())])
}

func (f *finder) offset(p token.Pos) int { return f.set.Position(p).Offset }

// add records a site. A condition that consists of one == or != would yield the same
// mutant twice, so the later, compared one is left out.
func (f *finder) add(n ast.Node, kind, after string) {
	at := f.set.Position(n.Pos())
	s := site{
		file: f.name, line: at.Line, col: at.Column, start: at.Offset, end: f.offset(n.End()),
		kind: kind, function: f.function, before: f.text(n), after: after,
	}
	if e, ok := n.(*ast.BinaryExpr); ok && kind == "compare" && (e.Op == token.EQL || e.Op == token.NEQ) {
		if slices.ContainsFunc(f.sites, func(o site) bool { return o.kind == "negate" && o.start == s.start && o.end == s.end }) {
			return
		}
	}
	f.sites = append(f.sites, s)
}
