// Package inbox keeps the messages of the virtual phone in the database, in the table
// phone_messages. Nodes that share the database show the messages of all nodes, and messages
// survive a restart.
//
// Package store implements the schema, the retention and the erasure of a number, as for every
// table. This package must not depend on verifications, carriers other than the virtual phone, or HTTP.
package inbox

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"time"

	"countersign/internal/deliver/virtual"
	"countersign/internal/store"
	"countersign/internal/verify"
)

// Inbox is the inbox of the virtual phone. It is safe for concurrent use.
type Inbox struct{ sql store.SQL }

var _ virtual.Inbox = Inbox{}

// New returns the inbox in a database.
func New(db *store.DB) Inbox { return Inbox{db.SQL()} }

const columns = `event, request, number, channel, sender, text, script, sent_at`

// AddMessage adds a message. It returns after the message is durable.
func (i Inbox) AddMessage(ctx context.Context, m virtual.Message) error {
	script, err := json.Marshal(m.Script)
	if err == nil {
		err = i.sql.Exec(ctx, `INSERT INTO phone_messages (`+columns+`) VALUES ($1, $2, $3, $4, $5, $6, $7, $8)`,
			m.EventID[:], m.RequestID[:], m.Number, string(m.Channel), m.From, m.Text, string(script), m.SentAt.UnixMilli())
	}
	if err != nil {
		return fmt.Errorf("add phone message: %w", err)
	}
	return nil
}

// Messages returns the newest messages of a number, or of all numbers for "": at most limit,
// oldest first.
func (i Inbox) Messages(ctx context.Context, number string, limit int) ([]virtual.Message, error) {
	query, args := `SELECT `+columns+` FROM phone_messages ORDER BY seq DESC LIMIT $1`, []any{limit}
	if number != "" {
		query = `SELECT ` + columns + ` FROM phone_messages WHERE number = $2 ORDER BY seq DESC LIMIT $1`
		args = append(args, number)
	}
	messages, err := i.query(ctx, query, args...)
	slices.Reverse(messages)
	return messages, err
}

// Message returns the newest copy of the message of an event. ok is false if the event has no message.
func (i Inbox) Message(ctx context.Context, event verify.ID) (m virtual.Message, ok bool, err error) {
	messages, err := i.query(ctx, `SELECT `+columns+` FROM phone_messages WHERE event = $1 ORDER BY seq DESC LIMIT 1`, event[:])
	if err != nil || len(messages) == 0 {
		return m, false, err
	}
	return messages[0], true, nil
}

func (i Inbox) query(ctx context.Context, query string, args ...any) (messages []virtual.Message, err error) {
	err = i.sql.Query(ctx, func(scan func(dest ...any) error) error {
		var (
			m                      virtual.Message
			event, request, script []byte
			sent                   int64
		)
		if err := scan(&event, &request, &m.Number, &m.Channel, &m.From, &m.Text, &script, &sent); err != nil {
			return err
		}
		copy(m.EventID[:], event)
		copy(m.RequestID[:], request)
		m.SentAt = time.UnixMilli(sent).UTC()
		messages = append(messages, m)
		return json.Unmarshal(script, &messages[len(messages)-1].Script)
	}, query, args...)
	if err != nil {
		return nil, fmt.Errorf("list phone messages: %w", err)
	}
	return messages, nil
}
