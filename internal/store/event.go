package store

import (
	"fmt"

	"countersign/internal/verify"
)

const eventColumns = `id, verification, seq, channel, generation, state, attempt, started_at, carrier, error, failures, cost`

// AddEvent adds a delivery attempt.
func (tx *Tx) AddEvent(e verify.Event) error {
	err := tx.change(addEvent, e.Verification,
		e.ID[:], e.Verification[:], e.Seq, string(e.Channel), e.Generation, string(e.State), e.Attempt,
		millis(e.StartedAt), e.Carrier, e.Error, string(e.Failures), int64(e.Cost))
	if err != nil {
		return fmt.Errorf("add event %s: %w", e.ID, err)
	}
	return nil
}

const addEvent change = `INSERT INTO events (` + eventColumns + `)`

// SaveEvent writes what became of an event that was handed over. One whose outcome
// is already known keeps it: a zombie's write changes nothing. What it costs is added
// by AddCost.
func (tx *Tx) SaveEvent(e verify.Event) error {
	err := tx.change(saveEvent, e.Verification, string(e.State), e.Attempt, e.Carrier, e.Error, string(e.Failures), e.Verification[:], e.Seq)
	if err != nil {
		return fmt.Errorf("save event %s: %w", e.ID, err)
	}
	return nil
}

const saveEvent change = `UPDATE events SET state = new.state, attempt = new.attempt, carrier = new.carrier, error = new.error, failures = new.failures
	FROM new (state TEXT, attempt INT, carrier TEXT, error TEXT, failures TEXT, verification BYTEA, seq INT)
	WHERE events.verification = new.verification AND events.seq = new.seq AND events.attempt <= new.attempt
		AND (events.state = 'submitting' OR (events.state = 'unknown' AND new.state <> 'submitting'))`

// SaveLate writes what a carrier answered in the end. It tells the outcome of an
// event that was not known before; that a carrier took it also counts when another
// has refused it.
func (tx *Tx) SaveLate(e verify.Event) error {
	err := tx.send(`UPDATE events SET state = $1, carrier = $2, error = $3
		WHERE verification = $4 AND seq = $5 AND (state = 'unknown' OR (state = 'refused' AND $1 = 'accepted'))`,
		string(e.State), e.Carrier, e.Error, e.Verification[:], e.Seq)
	if err != nil {
		return fmt.Errorf("save event %s: %w", e.ID, err)
	}
	return nil
}

// SaveReported writes what was reported of an event.
func (tx *Tx) SaveReported(e verify.Event) error {
	err := tx.send(`UPDATE events SET state = $1, carrier = $2, error = $3 WHERE verification = $4 AND seq = $5`,
		string(e.State), e.Carrier, e.Error, e.Verification[:], e.Seq)
	if err != nil {
		return fmt.Errorf("save event %s: %w", e.ID, err)
	}
	return nil
}

// Event loads an event to change it, or its parts. ok is false when there is none.
func (tx *Tx) Event(key verify.EventKey) (e verify.Event, ok bool, err error) {
	rows, err := tx.query(`SELECT `+eventColumns+` FROM events WHERE verification = $1 AND seq = $2`+tx.lock, key.Verification[:], key.Seq)
	events, err := scanEvents(rows, err)
	if err != nil || len(events) == 0 {
		return verify.Event{}, false, err
	}
	return events[0], true, nil
}

// Events lists the events of a verification.
func (tx *Tx) Events(id verify.ID) ([]verify.Event, error) {
	rows, err := tx.query(findEvents, id[:])
	return scanEvents(rows, err)
}

// Submitting lists the events of a verification whose outcome is not known.
func (tx *Tx) Submitting(id verify.ID) ([]verify.Event, error) {
	rows, err := tx.query(`SELECT `+eventColumns+` FROM events
		WHERE verification = $1 AND state = 'submitting' ORDER BY seq`, id[:])
	return scanEvents(rows, err)
}

const findEvents = `SELECT ` + eventColumns + ` FROM events WHERE verification = $1 ORDER BY seq`

func scanEvents(rows rows, err error) ([]verify.Event, error) {
	if err != nil {
		return nil, fmt.Errorf("load events: %w", err)
	}
	defer rows.Close()
	var events []verify.Event
	for rows.Next() {
		var (
			e         verify.Event
			id, owner []byte
			started   int64
		)
		if err := rows.Scan(&id, &owner, &e.Seq, &e.Channel, &e.Generation, &e.State, &e.Attempt,
			&started, &e.Carrier, &e.Error, &e.Failures, &e.Cost); err != nil {
			return nil, fmt.Errorf("load events: %w", err)
		}
		copy(e.ID[:], id)
		copy(e.Verification[:], owner)
		e.StartedAt = fromMillis(started)
		events = append(events, e)
	}
	return events, rows.Err()
}
