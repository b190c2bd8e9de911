// Mutate measures how many faults the tests of a package find. A mutant is the package
// with one change. Mutate runs the test suites that reach the change, and prints the
// survivors: mutants that no suite fails for.
//
// Usage:
//
//	mutate [-sample N] [-seed N] [-limit DURATION] [-suites LIST] PACKAGE...
//
// The changes are:
//
//	negate   if c            →  if !(c)
//	compare  <  <=  >  >=    →  <=  <  >=  >;   == and !=  →  each other
//	logic    &&              →  ||, and the reverse
//	remove   a statement that calls, assigns, counts, defers, sends or starts a goroutine
//	swallow  return …, err   →  return …, nil
//	bool     return true     →  return false, and the reverse
//
// The sources stay untouched: the go command reads a mutant through -overlay. The
// choice of mutants depends on the seed and on the text of each place alone, so
// that a change elsewhere in the package keeps the sample.
//
// A mutant is killed if a suite fails, does not end within its limit, or exceeds the
// limit of memory. A mutant that does not compile is replaced by the next one.
// Survivors are not always faults of the tests: some mutants are equivalent to the
// original.
package main
