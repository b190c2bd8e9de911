package store

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"

	"countersign/internal/deliver/virtual"
	"countersign/internal/verify"
)

// The database is the inbox of the virtual phone, so that every node shows all
// messages and none is lost with a process.
var _ virtual.Inbox = (*DB)(nil)

const messageColumns = `event, request, number, channel, sender, text, script, sent_at`

// AddMessage files a message into the inbox of the virtual phone.
func (db *DB) AddMessage(ctx context.Context, m virtual.Message) error {
	script, err := json.Marshal(m.Script)
	if err != nil {
		return fmt.Errorf("add phone message: %w", err)
	}
	return db.Write(ctx, Scope{}, func(tx *Tx) error {
		_, err := tx.exec(`INSERT INTO phone_messages (`+messageColumns+`) VALUES (`+placeholders(8)+`)`,
			m.EventID[:], m.RequestID[:], m.Number, string(m.Channel), m.From, m.Text, string(script), millis(m.SentAt))
		if err != nil {
			return fmt.Errorf("add phone message: %w", err)
		}
		return nil
	})
}

// Messages lists the newest messages of a number, or of all when number is "",
// at most limit of them, oldest first.
func (db *DB) Messages(ctx context.Context, number string, limit int) ([]virtual.Message, error) {
	query, args := `SELECT `+messageColumns+` FROM phone_messages ORDER BY seq DESC LIMIT $1`, []any{limit}
	if number != "" {
		query = `SELECT ` + messageColumns + ` FROM phone_messages WHERE number = $2 ORDER BY seq DESC LIMIT $1`
		args = append(args, number)
	}
	messages, err := db.queryMessages(ctx, query, args...)
	slices.Reverse(messages)
	return messages, err
}

// Message finds the newest copy of an event's message.
func (db *DB) Message(ctx context.Context, event verify.ID) (virtual.Message, bool, error) {
	messages, err := db.queryMessages(ctx, `SELECT `+messageColumns+` FROM phone_messages
		WHERE event = $1 ORDER BY seq DESC LIMIT 1`, event[:])
	if err != nil || len(messages) == 0 {
		return virtual.Message{}, false, err
	}
	return messages[0], true, nil
}

func (db *DB) queryMessages(ctx context.Context, query string, args ...any) ([]virtual.Message, error) {
	rows, err := db.query(ctx, query, args...)
	if err != nil {
		return nil, fmt.Errorf("list phone messages: %w", err)
	}
	defer rows.Close()
	var messages []virtual.Message
	for rows.Next() {
		m, err := scanMessage(rows)
		if err != nil {
			return nil, fmt.Errorf("list phone messages: %w", err)
		}
		messages = append(messages, m)
	}
	return messages, rows.Err()
}

func scanMessage(rows rows) (virtual.Message, error) {
	var (
		m              virtual.Message
		event, request []byte
		script         []byte
		sent           int64
	)
	if err := rows.Scan(&event, &request, &m.Number, &m.Channel, &m.From, &m.Text, &script, &sent); err != nil {
		return m, err
	}
	copy(m.EventID[:], event)
	copy(m.RequestID[:], request)
	m.SentAt = fromMillis(sent)
	return m, json.Unmarshal(script, &m.Script)
}
