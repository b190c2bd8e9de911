package engine_test

import (
	"testing"
	"time"

	"countersign/internal/store"
	"countersign/internal/verify"
)

// TestReplayCheckFails: while used signatures cannot be read or stored, every signed request
// is refused, new or copied. Afterwards each signature is valid for one request, as before.
func TestReplayCheckFails(t *testing.T) {
	t.Parallel()
	for name, fail := range map[string]func(*bench) (mend func()){
		"read": func(b *bench) func() {
			b.behind(`ALTER TABLE used_signatures RENAME TO gone`)
			return func() { b.behind(`ALTER TABLE gone RENAME TO used_signatures`) }
		},
		"write": func(b *bench) func() {
			if store.IsPostgres(b.path) {
				b.behind(`CREATE FUNCTION unsigned() RETURNS TRIGGER AS $$ BEGIN RAISE 'the disk is on fire'; END $$ LANGUAGE plpgsql;
					CREATE TRIGGER unsigned BEFORE INSERT ON used_signatures FOR EACH ROW EXECUTE FUNCTION unsigned()`)
				return func() { b.behind(`DROP TRIGGER unsigned ON used_signatures`) }
			}
			b.behind(`CREATE TRIGGER unsigned BEFORE INSERT ON used_signatures BEGIN SELECT RAISE(ABORT, 'the disk is on fire'); END`)
			return func() { b.behind(`DROP TRIGGER unsigned`) }
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := setUp(t)
			old := t0.Add(-time.Minute) // a copy is refused
			used, fresh, early := signedBy(b, old, 1), signedBy(b, old, 2), signedBy(b, t0, 3)
			_, err := b.Admit(t.Context(), used)
			must(t, err)
			mend := fail(b)
			if _, err := b.Admit(t.Context(), used); err == nil {
				t.Error("a copy is admitted")
			}
			if _, err := b.Admit(t.Context(), fresh); err == nil || kind(err) != -1 {
				t.Errorf("a new request: %v, want an error of the database", err)
			}
			if _, err := b.Admit(t.Context(), early); err == nil || kind(err) != -1 {
				t.Errorf("a new request of this second: %v, want an error of the database", err)
			}
			mend()
			if _, err := b.Admit(t.Context(), used); kind(err) != verify.KindBadCredentials {
				t.Errorf("a copy, afterwards: %v", err)
			}
			_, err = b.Admit(t.Context(), fresh)
			must(t, err)
			if _, err := b.Admit(t.Context(), fresh); kind(err) != verify.KindBadCredentials {
				t.Errorf("a copy of the request that failed before: %v", err)
			}
		})
	}
}
