// Package suggest finds the most likely correction of a mistyped word.
package suggest

import "strings"

// Hint returns "; did you mean X?" for the entry of known that is nearest to word, or ""
// without a near entry.
func Hint(word string, known []string) string {
	if near := Nearest(word, known); near != "" {
		return "; did you mean " + near + "?"
	}
	return ""
}

// Nearest returns the entry of known that is nearest to word, or "" without a near entry.
// An entry is near if it differs in letter case or separators, or by at most one edit in
// three characters. It is also near if one word begins with the other ("warning" for
// "warn"). The first of equally near entries wins.
func Nearest(word string, known []string) string {
	plain := fold(word)
	if plain == "" {
		return ""
	}
	best, least := "", 0
	for _, k := range known {
		candidate := fold(k)
		d := distance(plain, candidate)
		switch shorter := min(len(plain), len(candidate)); {
		case d <= max(1, shorter/3) && shorter > 1:
		case shorter >= 3 && (strings.HasPrefix(plain, candidate) || strings.HasPrefix(candidate, plain)):
		default:
			continue
		}
		if best == "" || d < least {
			best, least = k, d
		}
	}
	return best
}

// fold removes separators and letter case, which do not change the meaning.
func fold(s string) string {
	return strings.NewReplacer("_", "", "-", "", " ", "").Replace(strings.ToLower(s))
}

// distance returns the minimum number of insertions, deletions, replacements and swaps of
// neighbours that convert a to b (optimal string alignment).
func distance(a, b string) int {
	x, y := []rune(a), []rune(b)
	rows := make([][]int, len(x)+1)
	for i := range rows {
		rows[i] = make([]int, len(y)+1)
		rows[i][0] = i
	}
	for j := range y {
		rows[0][j+1] = j + 1
	}
	for i := range x {
		for j := range y {
			change := 1
			if x[i] == y[j] {
				change = 0
			}
			d := min(rows[i][j+1]+1, rows[i+1][j]+1, rows[i][j]+change)
			if i > 0 && j > 0 && x[i] == y[j-1] && x[i-1] == y[j] {
				d = min(d, rows[i-1][j-1]+1)
			}
			rows[i+1][j+1] = d
		}
	}
	return rows[len(x)][len(y)]
}
