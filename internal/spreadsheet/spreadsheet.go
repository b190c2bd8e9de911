// Package spreadsheet makes text safe in CSV files for spreadsheets.
package spreadsheet

import "strings"

// Text returns text, preceded by an apostrophe if a spreadsheet would interpret it as a
// formula (OWASP, CSV injection). Do not use it for numbers.
func Text(text string) string {
	if strings.IndexAny(text, "=+-@\t\r\n＝＋－＠") == 0 {
		return "'" + text
	}
	return text
}
