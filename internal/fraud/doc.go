// Package fraud decides on values in memory: caps on a number ([Caps], [Number]),
// velocity rules ([Rules], [State]) and block lists ([Block]); package velocity
// stores those values, shares them between nodes and applies the decisions.
//
// The rules are pure: the time is an argument, and the result depends only on the arguments
// and the state. [State] is safe for concurrent use; the caller locks all other values. The
// package does not depend on SQL, HTTP or clocks.
package fraud
