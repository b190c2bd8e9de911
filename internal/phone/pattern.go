package phone

import (
	"encoding/binary"
	"fmt"
	"regexp/syntax"
	"slices"
)

// pattern is a regular expression over digits, compiled to a table with the next state for
// each state and digit. Parsing a number evaluates about ten patterns of its plan; each
// takes some nanoseconds instead of half a microsecond with package regexp, with the same
// result.
type pattern struct {
	next  [][10]uint16 // state 0 is dead, state 1 is initial
	found []bool       // the digits so far match
	whole []bool       // the digits so far match at the end of the text
}

// all reports whether the pattern matches all of digits.
func (p *pattern) all(digits string) bool {
	state := uint16(1)
	for i := 0; i < len(digits) && state != 0; i++ {
		state = p.next[state][digits[i]-'0']
	}
	return p.whole[state]
}

// begins reports whether the pattern matches a prefix of digits.
func (p *pattern) begins(digits string) bool {
	state := uint16(1)
	for i := 0; i < len(digits); i++ {
		if state = p.next[state][digits[i]-'0']; p.found[state] {
			return true
		}
	}
	return p.whole[state]
}

// maxStates bounds a pattern; the largest pattern of libphonenumber has some hundreds.
const maxStates = 1 << 14

// compile makes the table by the subset construction: a state of the table is the set of
// program positions that are reachable with the same digits.
func compile(expr string) (*pattern, error) {
	parsed, err := syntax.Parse(expr, syntax.Perl)
	if err != nil {
		return nil, fmt.Errorf("pattern %q: %w", expr, err)
	}
	prog, err := syntax.Compile(parsed.Simplify())
	if err != nil {
		return nil, fmt.Errorf("pattern %q: %w", expr, err)
	}
	w := walk{prog: prog, seen: make([]bool, len(prog.Inst))}
	p := &pattern{}
	known := map[string]uint16{}
	var sets [][]uint32
	var key []byte
	add := func(set []uint32) uint16 {
		key = key[:0]
		for _, pc := range set {
			key = binary.LittleEndian.AppendUint32(key, pc)
		}
		state, ok := known[string(key)]
		if !ok {
			state = uint16(len(sets))
			known[string(key)] = state
			sets = append(sets, slices.Clone(set))
			p.next = append(p.next, [10]uint16{})
			p.found = append(p.found, w.matches(set))
			p.whole = append(p.whole, w.matches(w.reach(slices.Clone(set), syntax.EmptyEndText)))
		}
		return state
	}
	add(nil)
	add(w.reach([]uint32{uint32(prog.Start)}, syntax.EmptyBeginText))
	for state := 1; state < len(sets); state++ {
		for digit := range 10 {
			p.next[state][digit] = add(w.step(sets[state], rune('0'+digit)))
		}
		if len(sets) > maxStates {
			return nil, fmt.Errorf("pattern %q has too many states", expr)
		}
	}
	return p, nil
}

// walk evaluates an expression. Results are valid until the next call.
type walk struct {
	prog       *syntax.Prog
	seen       []bool
	queue, set []uint32
}

// step returns the positions after a digit.
func (w *walk) step(set []uint32, digit rune) []uint32 {
	w.queue = w.queue[:0]
	for _, pc := range set {
		switch inst := &w.prog.Inst[pc]; inst.Op {
		case syntax.InstRune, syntax.InstRune1, syntax.InstRuneAny, syntax.InstRuneAnyNotNL:
			if inst.MatchRune(digit) {
				w.queue = append(w.queue, inst.Out)
			}
		}
	}
	return w.reach(w.queue, 0)
}

// reach returns the sorted positions that are reachable without a digit, under the
// conditions at, and that match, consume a digit or need a further condition.
func (w *walk) reach(queue []uint32, at syntax.EmptyOp) []uint32 {
	w.set = w.set[:0]
	clear(w.seen)
	for len(queue) > 0 {
		pc := queue[len(queue)-1]
		queue = queue[:len(queue)-1]
		if w.seen[pc] {
			continue
		}
		w.seen[pc] = true
		switch inst := &w.prog.Inst[pc]; inst.Op {
		case syntax.InstAlt, syntax.InstAltMatch:
			queue = append(queue, inst.Out, inst.Arg)
		case syntax.InstCapture, syntax.InstNop:
			queue = append(queue, inst.Out)
		case syntax.InstEmptyWidth:
			if syntax.EmptyOp(inst.Arg)&^at == 0 {
				queue = append(queue, inst.Out)
			} else {
				w.set = append(w.set, pc) // may be satisfied at the end of the text
			}
		case syntax.InstFail:
		default:
			w.set = append(w.set, pc)
		}
	}
	slices.Sort(w.set)
	return w.set
}

func (w *walk) matches(set []uint32) bool {
	return slices.ContainsFunc(set, func(pc uint32) bool { return w.prog.Inst[pc].Op == syntax.InstMatch })
}
