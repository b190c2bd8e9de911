// Package spreadsheet makes text safe for CSV files that spreadsheets open.
package spreadsheet

import "strings"

// Text returns text with an apostrophe before it if a spreadsheet would take it for a
// formula (OWASP, CSV injection). Numbers must not pass through it.
func Text(text string) string {
	if strings.IndexAny(text, "=+-@\t\r\n＝＋－＠") == 0 {
		return "'" + text
	}
	return text
}
