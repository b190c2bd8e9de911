// Package fraud holds the rules against those who make an operator pay for
// messages, or guess codes: how many messages may go to a number and how many
// wrong codes it may see, in sliding windows ([Caps], [Number]).
//
// The rules are pure, as those of package verify: values in, values out, and now is
// an argument. Whoever calls them keeps the values, and changes them where nobody
// else does at the same time. The package must not know SQL, HTTP or clocks.
package fraud
