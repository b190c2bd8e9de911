package store_test

import (
	"errors"
	"reflect"
	"sync"
	"testing"

	"countersign/internal/store"
	"countersign/internal/verify"
)

// fullSettings has a value in every field.
func fullSettings() verify.Settings {
	var s verify.Settings
	fill(reflect.ValueOf(&s).Elem())
	return s
}

// fill sets v to a value other than its zero value.
func fill(v reflect.Value) {
	switch v.Kind() {
	case reflect.Struct:
		for i := range v.NumField() {
			fill(v.Field(i))
		}
	case reflect.Slice:
		v.Set(reflect.MakeSlice(v.Type(), 2, 2))
		fill(v.Index(0))
		fill(v.Index(1))
	case reflect.Map:
		key, value := reflect.New(v.Type().Key()).Elem(), reflect.New(v.Type().Elem()).Elem()
		fill(key)
		fill(value)
		v.Set(reflect.MakeMap(v.Type()))
		v.SetMapIndex(key, value)
	case reflect.Pointer:
		v.Set(reflect.New(v.Type().Elem()))
		fill(v.Elem())
	case reflect.String:
		v.SetString("<ü>")
	case reflect.Bool:
		v.SetBool(true)
	case reflect.Float64:
		v.SetFloat(0.25)
	default:
		v.SetInt(7)
	}
}

func testUpdateAccount(t *testing.T, db *store.DB) {
	addAccount(t, db, "demo0001", verify.Unit)
	addAccount(t, db, "other001", verify.Unit)
	want := verify.Account{
		Key: "demo0001", Name: "New", Barred: true, Trial: true, CustomPIN: true, Rate: 9, Unlimited: true,
		Balance: verify.Unit, DailyCap: 12, OnUndeliverable: verify.UndeliverableNextEvent, Settings: fullSettings(),
	}
	must(t, db.UpdateAccount(t.Context(), "demo0001", func(a *verify.Account) error {
		*a = want
		a.Key, a.Balance = "other001", 5 // Key and Balance are not changed
		return nil
	}))
	refused := errors.New("refused")
	if err := db.UpdateAccount(t.Context(), "demo0001", func(a *verify.Account) error {
		a.Name = "Not this"
		return refused
	}); !errors.Is(err, refused) {
		t.Errorf("got %v, want the error of the change", err)
	}
	if err := db.UpdateAccount(t.Context(), "nobody00", func(*verify.Account) error { return nil }); !errors.Is(err, store.ErrNoAccount) {
		t.Errorf("an unknown account: %v, want ErrNoAccount", err)
	}
	if c, err := db.Credentials(t.Context(), "demo0001"); err != nil || !reflect.DeepEqual(c.Account, want) {
		t.Errorf("account %+v (%v), want %+v", c.Account, err, want)
	}
	if c, err := db.Credentials(t.Context(), "other001"); err != nil || c.Name != "Test" || !reflect.DeepEqual(c.Settings, verify.Settings{}) {
		t.Errorf("another account was changed: %+v, %v", c.Account, err)
	}
}

func testUpdateAccountParallel(t *testing.T, db *store.DB) {
	addAccount(t, db, "demo0001", 0)
	const changes = 50
	var wg sync.WaitGroup
	for range changes {
		wg.Go(func() {
			if err := db.UpdateAccount(t.Context(), "demo0001", func(a *verify.Account) error {
				a.Settings.MinCodeLength++
				return nil
			}); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	if c, err := db.Credentials(t.Context(), "demo0001"); err != nil || c.Settings.MinCodeLength != changes {
		t.Errorf("%d changes arrived (%v), want %d", c.Settings.MinCodeLength, err, changes)
	}
}

// During a rolling upgrade, an old node must not delete the settings of a newer release.
func TestSettingsOfANewerReleaseStay(t *testing.T) {
	t.Parallel()
	path := sqlite(t)
	db := openFile(t, path, key)
	addAccount(t, db, "demo0001", 0)
	file := raw(t, path)
	_, err := file.ExecContext(t.Context(), `UPDATE accounts SET settings = '{"strict": true, "min_code_length": 6, "of_tomorrow": {"a": [1]}}'`)
	must(t, err)
	must(t, db.UpdateAccount(t.Context(), "demo0001", func(a *verify.Account) error {
		if !a.Settings.Strict || a.Settings.MinCodeLength != 6 {
			t.Errorf("read %+v", a.Settings)
		}
		a.Settings.Strict = false
		return nil
	}))
	var got string
	must(t, file.QueryRowContext(t.Context(), `SELECT settings FROM accounts`).Scan(&got))
	if want := `{"min_code_length":6,"of_tomorrow":{"a":[1]}}`; got != want {
		t.Errorf("stored %s, want %s", got, want)
	}
}
