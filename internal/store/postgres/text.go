package postgres

import "countersign/internal/store/driver"

// storable spells out the bytes that PostgreSQL takes in no text: what a carrier
// sends as its id, or as its error, is not always UTF-8, and is not refused for it.
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
