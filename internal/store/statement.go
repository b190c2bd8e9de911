package store

import (
	"strconv"

	"countersign/internal/verify"
)

// idSet returns a set of ids as an argument of Dialect.Among.
func (tx *Tx) idSet(ids []verify.ID) (any, error) {
	set := make([][]byte, len(ids))
	for i := range ids {
		set[i] = ids[i][:]
	}
	return tx.dialect.IDs(set)
}

// placeholders returns "$1, … $n".
func placeholders(n int) string {
	var b []byte
	for i := 1; i <= n; i++ {
		if i > 1 {
			b = append(b, ", "...)
		}
		b = strconv.AppendInt(append(b, '$'), int64(i), 10)
	}
	return string(b)
}
