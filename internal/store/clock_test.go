package store_test

import (
	"context"
	"testing"
	"time"

	"countersign/internal/pgtest"
	"countersign/internal/store"
	"countersign/internal/vault"
)

// TestServerTime: the time of a PostgreSQL server is read before and after the database is
// opened. It advances between two readings.
func TestServerTime(t *testing.T) {
	t.Parallel()
	database := pgtest.Prepared(t, "migrated", store.Migrate)
	first := time.Now()
	var second time.Time
	err := store.WithServerTime(t.Context(), database, func(read func(context.Context) (time.Time, error)) (err error) {
		second, err = read(t.Context())
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	db := openFile(t, database, vault.NewKey())
	third, err := db.ServerTime(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if !first.Before(second) || !second.Before(third) || third.After(time.Now()) {
		t.Errorf("read %v before opening and %v after, between %v and %v", second, third, first, time.Now())
	}
}
