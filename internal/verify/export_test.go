package verify

// Kinds lists every kind, for tests that a table is complete.
func Kinds() []Kind {
	kinds := make([]Kind, 0, kindEnd)
	for k := range kindEnd {
		kinds = append(kinds, k)
	}
	return kinds
}
