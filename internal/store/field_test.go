package store_test

import (
	"testing"

	"google.golang.org/protobuf/encoding/protowire"

	"countersign/internal/pgtest"
	"countersign/internal/verify"
)

// Paths of fields in the stored document of a verification.
var (
	versionPath    = []protowire.Number{1}
	generationPath = []protowire.Number{10}
	pinPath        = []protowire.Number{12}
	eventPath      = []protowire.Number{13}    // path in the first event
	codePath       = []protowire.Number{14, 2} // code of the first check
)

// document reads the stored document of a verification.
func document(t *testing.T, database string, id verify.ID) (doc []byte) {
	t.Helper()
	db, err := pgtest.Open(database)
	must(t, err)
	defer db.Close()
	must(t, db.QueryRowContext(t.Context(), `SELECT document FROM verifications WHERE id = $1`, id[:]).Scan(&doc))
	return doc
}

// tamper replaces the stored document of a verification, as only a tool could.
func tamper(t *testing.T, database string, id verify.ID, doc []byte) {
	t.Helper()
	db, err := pgtest.Open(database)
	must(t, err)
	defer db.Close()
	_, err = db.ExecContext(t.Context(), `UPDATE verifications SET document = $1 WHERE id = $2`, append([]byte{}, doc...), id[:])
	must(t, err)
}

// field returns the content of the first field at a path in a document; nil if it is missing.
func field(doc []byte, path ...protowire.Number) (found []byte) {
	edit(doc, path, func(content []byte) []byte { found = content; return content })
	return found
}

// withField returns a document with other content of the first field at a path, and without
// the field for nil.
func withField(doc, content []byte, path ...protowire.Number) []byte {
	return edit(doc, path, func([]byte) []byte { return content })
}

// edit returns a document with what change returns for the content of the first field at a
// path.
func edit(doc []byte, path []protowire.Number, change func(content []byte) []byte) (edited []byte) {
	for found := false; len(doc) > 0; {
		number, kind, tag := protowire.ConsumeTag(doc)
		size := tag + protowire.ConsumeFieldValue(number, kind, doc[tag:])
		whole, content := doc[:size], doc[tag:size]
		doc = doc[size:]
		if found || number != path[0] {
			edited = append(edited, whole...)
			continue
		}
		found = true
		if kind == protowire.BytesType {
			content, _ = protowire.ConsumeBytes(content)
		}
		if len(path) > 1 {
			content = edit(content, path[1:], change)
		} else {
			content = change(content)
		}
		switch {
		case content == nil:
		case kind == protowire.BytesType:
			edited = protowire.AppendBytes(protowire.AppendTag(edited, number, kind), content)
		default:
			edited = append(protowire.AppendTag(edited, number, kind), content...)
		}
	}
	return edited
}

// varint is the content of a field with a number.
func varint(i int64) []byte { return protowire.AppendVarint(nil, protowire.EncodeZigZag(i)) }
