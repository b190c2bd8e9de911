package store

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"strings"

	"countersign/internal/verify"
)

// settingsColumn reads accounts.settings. What a newer release wrote there and this
// one does not know is not read.
type settingsColumn verify.Settings

var errSettings = errors.New("not the text of settings")

// Scan implements sql.Scanner.
func (s *settingsColumn) Scan(value any) error {
	text, ok := value.(string)
	if !ok {
		return errSettings
	}
	*s = settingsColumn{}
	if text == "{}" { // most accounts
		return nil
	}
	if err := json.Unmarshal([]byte(text), (*verify.Settings)(s)); err != nil {
		return fmt.Errorf("settings: %w", err)
	}
	return nil
}

// encodeSettings gives the stored form of s. What stands in old and this release does
// not know stays there: nodes of two releases may share the database for a while.
func encodeSettings(old string, s verify.Settings) (string, error) {
	stored := map[string]json.RawMessage{}
	if err := json.Unmarshal([]byte(old), &stored); err != nil {
		return "", fmt.Errorf("settings: %w", err)
	}
	for f := range reflect.TypeFor[verify.Settings]().Fields() {
		name, _, _ := strings.Cut(f.Tag.Get("json"), ",")
		delete(stored, name)
	}
	text, err := json.Marshal(s)
	if err == nil {
		err = json.Unmarshal(text, &stored)
	}
	if err == nil {
		text, err = json.Marshal(stored)
	}
	return string(text), err
}

// UpdateAccount changes what stands in an account's row: change is given the account
// as it is, and may be run more than once. Key, Parent and Balance stay, whatever it
// does to them.
func (db *DB) UpdateAccount(ctx context.Context, key string, change func(*verify.Account) error) error {
	return db.changeAccount(ctx, key, func(tx *Tx) error {
		var (
			a   verify.Account
			old string
		)
		ok, err := tx.queryRow(`SELECT `+accountColumns+`, a.settings FROM accounts a WHERE a.key = $1`+tx.lock,
			[]any{key}, append(scanAccount(&a), &old)...)
		if err != nil {
			return err
		}
		if !ok {
			return ErrNoAccount
		}
		if err := change(&a); err != nil {
			return err
		}
		settings, err := encodeSettings(old, a.Settings)
		if err != nil {
			return err
		}
		return tx.send(`UPDATE accounts SET name = $2, barred = $3, trial = $4, custom_pin = $5, rate = $6, unlimited = $7,
				daily_cap = $8, on_undeliverable = $9, settings = $10
			WHERE key = $1`,
			key, a.Name, a.Barred, a.Trial, a.CustomPIN, a.Rate, a.Unlimited,
			int64(a.DailyCap), string(a.OnUndeliverable), settings)
	})
}
