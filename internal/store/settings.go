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

// settingsColumn reads accounts.settings. It ignores settings of newer releases.
type settingsColumn verify.Settings

var errSettings = errors.New("the column settings is not text")

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

// encodeSettings returns the stored form of s. It keeps unknown settings from old: nodes
// of two releases may share the database.
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

// MessageSettings returns the settings of the accounts with settings that change messages
// (Autofill, CarrierValues or SpokenBrands), by key.
func (db *DB) MessageSettings(ctx context.Context) (map[string]verify.Settings, error) {
	rows, err := db.query(ctx, `SELECT key, settings FROM accounts
		WHERE settings LIKE '%"autofill":%' OR settings LIKE '%"carrier_values":%'
		OR settings LIKE '%"spoken_brands":%'`)
	if err != nil {
		return nil, fmt.Errorf("list settings of messages: %w", err)
	}
	defer rows.Close()
	list := map[string]verify.Settings{}
	for rows.Next() {
		var key string
		var s settingsColumn
		if err := rows.Scan(&key, &s); err != nil {
			return nil, fmt.Errorf("list settings of messages: %w", err)
		}
		list[key] = verify.Settings(s)
	}
	return list, rows.Err()
}
