package postgres

import "countersign/internal/store/driver"

// storable spells out the bytes that PostgreSQL refuses in a text. Ids and errors of carriers
// need not be UTF-8.
func storable(args []any) []any {
	for i, arg := range args {
		if text, ok := arg.(string); ok {
			if kept := driver.Text(text); kept != text {
				args[i] = kept
			}
		}
	}
	return args
}
