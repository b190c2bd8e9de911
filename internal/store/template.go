package store

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"countersign/internal/store/driver"
	"countersign/internal/verify"
)

// TemplateStatus is the state of a template.
type TemplateStatus string

// A template is pending until an operator approves it, then active, then retired.
const (
	TemplatePending TemplateStatus = "PENDING"
	TemplateActive  TemplateStatus = "ACTIVE"
	TemplateRetired TemplateStatus = "RETIRED"
)

// Template is the text, or the recordings, of an account's messages on a channel in a
// locale.
type Template struct {
	ID         verify.ID
	Account    string
	Channel    verify.Channel // sms or tts
	Locale     string         // value of the parameter lg
	Version    int            // from 1, for each channel and locale
	Status     TemplateStatus
	Encoding   string // of an SMS: text or unicode
	Text       string // "" if the template has recordings
	Recordings map[string]verify.ID
	Contact    string // e-mail address, for the operator
	CreatedAt  time.Time
	ApprovedAt time.Time // time of the last activation; zero if never activated, retired by an operator, or rolled back
}

// Recording is an account's sound: G.711 μ-law, 8,000 samples a second.
type Recording struct {
	ID    verify.ID
	Sound []byte
}

// maxTemplates bounds the templates of an account, all versions included.
const maxTemplates = 500

// Errors about templates.
var (
	ErrNoTemplate       = errors.New("no such template")
	ErrTooManyTemplates = fmt.Errorf("an account may have %d templates, all versions counted", maxTemplates)
	ErrTemplateStatus   = errors.New("the template is not in a state for that")
	ErrNoEarlier        = errors.New("there is no earlier version that was in use")
)

const templateColumns = `id, account, channel, locale, version, status, encoding, text, recordings, contact, created_at, approved_at`

// AddTemplate adds a template with its recordings and returns it with its version. Its
// status is ACTIVE if inUse is set, because no approval is needed; else PENDING.
func (db *DB) AddTemplate(ctx context.Context, t Template, recordings []Recording, inUse bool) (Template, error) {
	names := make(map[string]string, len(t.Recordings))
	for name, id := range t.Recordings {
		names[name] = id.String()
	}
	list, err := json.Marshal(names)
	if err != nil {
		return t, fmt.Errorf("add template: %w", err)
	}
	var changes []topic
	if inUse {
		changes = []topic{ofTemplates}
	}
	err = db.changeAccount(ctx, t.Account, func(tx *Tx) error { // changeAccount locks the account
		t.Status, t.ApprovedAt = TemplatePending, time.Time{}
		var have int
		if _, err := tx.queryRow(`SELECT COUNT(*), COALESCE(MAX(CASE WHEN channel = $2 AND locale = $3 THEN version END), 0) + 1
			FROM templates WHERE account = $1`, []any{t.Account, string(t.Channel), t.Locale}, &have, &t.Version); err != nil {
			return err
		}
		if have >= maxTemplates {
			return ErrTooManyTemplates
		}
		for _, r := range recordings {
			if err := tx.send(`INSERT INTO recordings (id, account, sound, created_at) VALUES ($1, $2, $3, $4)`,
				r.ID[:], t.Account, r.Sound, millis(t.CreatedAt)); err != nil {
				return err
			}
		}
		if err := tx.send(`INSERT INTO templates (`+templateColumns+`) VALUES (`+placeholders(12)+`)`,
			t.ID[:], t.Account, string(t.Channel), t.Locale, t.Version, string(t.Status), t.Encoding, t.Text, string(list), t.Contact,
			millis(t.CreatedAt), millisOrNull(t.ApprovedAt)); err != nil || !inUse {
			return err
		}
		return tx.activate(&t, t.CreatedAt)
	}, changes...)
	return t, err
}

// ApproveTemplate activates a template and retires the active one.
func (db *DB) ApproveTemplate(ctx context.Context, id verify.ID, now time.Time) (Template, error) {
	return db.changeTemplate(ctx, id, func(tx *Tx, t *Template) error {
		if t.Status == TemplateActive {
			return nil
		}
		return tx.activate(t, now)
	})
}

// RetireTemplate retires an active template or rejects a pending one. RollBackTemplate
// skips it until it is approved again.
func (db *DB) RetireTemplate(ctx context.Context, id verify.ID) (Template, error) {
	return db.changeTemplate(ctx, id, func(tx *Tx, t *Template) error {
		return tx.takeBack(t)
	})
}

// RollBackTemplate reactivates the template that was active before this one. Later
// rollbacks skip this one until it is approved again.
func (db *DB) RollBackTemplate(ctx context.Context, id verify.ID, now time.Time) (earlier Template, err error) {
	_, err = db.changeTemplate(ctx, id, func(tx *Tx, t *Template) error {
		if t.Status != TemplateActive {
			return fmt.Errorf("%w: it is %s, not in use", ErrTemplateStatus, t.Status)
		}
		found, err := tx.template(&earlier, `account = $1 AND channel = $2 AND locale = $3 AND id <> $4 AND approved_at IS NOT NULL
			ORDER BY approved_at DESC, version DESC LIMIT 1`, t.Account, string(t.Channel), t.Locale, t.ID[:])
		if err != nil {
			return err
		}
		if !found {
			return ErrNoEarlier
		}
		if err := tx.takeBack(t); err != nil {
			return err
		}
		return tx.activate(&earlier, now)
	})
	return earlier, err
}

// changeTemplate locks the template's account and runs change.
func (db *DB) changeTemplate(ctx context.Context, id verify.ID, change func(*Tx, *Template) error) (Template, error) {
	t, err := db.Template(ctx, id)
	if err != nil {
		return t, err
	}
	err = db.changeAccount(ctx, t.Account, func(tx *Tx) error {
		if found, err := tx.template(&t, `id = $1`, id[:]); err != nil || !found {
			return errors.Join(err, ErrNoTemplate)
		}
		return change(tx, &t)
	}, ofTemplates)
	return t, err
}

// activate makes t the active template. The caller has locked the account.
func (tx *Tx) activate(t *Template, now time.Time) error {
	if _, err := tx.exec(`UPDATE templates SET status = $4 WHERE account = $1 AND channel = $2 AND locale = $3 AND status = 'ACTIVE'`,
		t.Account, string(t.Channel), t.Locale, string(TemplateRetired)); err != nil {
		return err
	}
	t.Status, t.ApprovedAt = TemplateActive, now
	return tx.send(`UPDATE templates SET status = $2, approved_at = $3 WHERE id = $1`, t.ID[:], string(t.Status), millis(t.ApprovedAt))
}

// takeBack retires a template and deletes its time of approval.
func (tx *Tx) takeBack(t *Template) error {
	t.Status, t.ApprovedAt = TemplateRetired, time.Time{}
	return tx.send(`UPDATE templates SET status = $2, approved_at = NULL WHERE id = $1`, t.ID[:], string(t.Status))
}

// template reads one template into t.
func (tx *Tx) template(t *Template, where string, args ...any) (found bool, err error) {
	rows, err := tx.query(`SELECT `+templateColumns+` FROM templates WHERE `+where, args...)
	if err != nil {
		return false, err
	}
	defer rows.Close()
	if !rows.Next() {
		return false, rows.Err()
	}
	*t, err = scanTemplate(rows)
	return err == nil, err
}

func scanTemplate(rows driver.Rows) (Template, error) {
	var (
		t        Template
		id       []byte
		names    string
		created  int64
		approved sql.NullInt64
	)
	if err := rows.Scan(&id, &t.Account, &t.Channel, &t.Locale, &t.Version, &t.Status, &t.Encoding, &t.Text, &names, &t.Contact,
		&created, &approved); err != nil {
		return t, fmt.Errorf("read template: %w", err)
	}
	copy(t.ID[:], id)
	t.CreatedAt, t.ApprovedAt = fromMillis(created), fromMillisOrNull(approved)
	var recordings map[string]string
	if err := json.Unmarshal([]byte(names), &recordings); err != nil {
		return t, fmt.Errorf("read template %s: %w", t.ID, err)
	}
	for name, text := range recordings {
		id, ok := verify.ParseID(text)
		if !ok {
			return t, fmt.Errorf("read template %s: %q is not an id", t.ID, text)
		}
		if t.Recordings == nil {
			t.Recordings = map[string]verify.ID{}
		}
		t.Recordings[name] = id
	}
	return t, nil
}

// Template finds a template by its id. It returns ErrNoTemplate for an unknown id.
func (db *DB) Template(ctx context.Context, id verify.ID) (Template, error) {
	list, err := db.templates(ctx, `WHERE id = $1`, id[:])
	if err == nil && len(list) == 0 {
		err = ErrNoTemplate
	}
	if err != nil {
		return Template{}, err
	}
	return list[0], nil
}

// Templates lists the templates of an account ("" for all) with a status ("" for any).
func (db *DB) Templates(ctx context.Context, account string, status TemplateStatus) ([]Template, error) {
	return db.templates(ctx, `WHERE (account = $1 OR $1 = '') AND (status = $2 OR $2 = '')
		ORDER BY account, channel, locale, version`, account, string(status))
}

func (db *DB) templates(ctx context.Context, where string, args ...any) ([]Template, error) {
	rows, err := db.query(ctx, `SELECT `+templateColumns+` FROM templates `+where, args...)
	if err != nil {
		return nil, fmt.Errorf("list templates: %w", err)
	}
	defer rows.Close()
	var list []Template
	for rows.Next() {
		t, err := scanTemplate(rows)
		if err != nil {
			return nil, err
		}
		list = append(list, t)
	}
	return list, rows.Err()
}

// Recording returns the sound of a recording, or ErrNoTemplate for an unknown id.
func (db *DB) Recording(ctx context.Context, id verify.ID) (sound []byte, err error) {
	err = db.queryRow(ctx, `SELECT sound FROM recordings WHERE id = $1`, []any{id[:]}, &sound)
	if errors.Is(err, sql.ErrNoRows) {
		err = ErrNoTemplate
	}
	if err != nil {
		return nil, fmt.Errorf("find recording %s: %w", id, err)
	}
	return sound, nil
}
