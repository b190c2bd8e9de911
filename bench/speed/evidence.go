package main

import (
	"bufio"
	"context"
	"fmt"
	"os"
	"strconv"
	"strings"
	"time"

	"countersign/internal/pgtest"
	"countersign/internal/record"
	"countersign/internal/verify"
)

// proof is the evidence after a run for its starts, by number.
type proof struct {
	left      map[uint64]int64 // time at which the first SMS was sent, in nanoseconds since 1970
	rows      map[uint64]bool  // numbers with a verification, its charge, and an event accepted by the carrier
	ended     map[uint64]bool  // numbers verified
	delivered map[uint64]bool  // numbers with a recorded receipt of their SMS
	copies    int              // repeated messages to the same number
}

// readRecord reads the times of messages from a file of lines "TIME NUMBER".
func (p *proof) readRecord(path string) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer func() { _ = f.Close() }()
	p.left = map[uint64]int64{}
	lines := bufio.NewScanner(f)
	for lines.Scan() {
		at, number, _ := strings.Cut(lines.Text(), " ")
		when, err := strconv.ParseInt(at, 10, 64)
		if err != nil {
			return fmt.Errorf("%s: %w", path, err)
		}
		n, err := strconv.ParseUint(number, 10, 64)
		if err != nil {
			return fmt.Errorf("%s: %w", path, err)
		}
		if _, ok := p.left[n]; ok {
			p.copies++
			continue
		}
		p.left[n] = when
	}
	return lines.Err()
}

// readRows reads the records of each number from the database, without the server.
func (p *proof) readRows(ctx context.Context, database string) error {
	hex := "encode(v.id, 'hex')"
	if path, ok := strings.CutPrefix(database, "sqlite:"); ok {
		database, hex = path, "lower(hex(v.id))"
	}
	db, err := pgtest.Open(database)
	if err != nil {
		return err
	}
	defer func() { _ = db.Close() }()
	rows, err := db.QueryContext(ctx, `SELECT v.address, v.status, v.document FROM verifications v
		WHERE EXISTS (SELECT 1 FROM ledger l WHERE l.key = 'charge/' || `+hex+`)`)
	if err != nil {
		return err
	}
	defer rows.Close()
	p.rows, p.ended, p.delivered = map[uint64]bool{}, map[uint64]bool{}, map[uint64]bool{}
	for rows.Next() {
		var number, status string
		var document []byte
		if err := rows.Scan(&number, &status, &document); err != nil {
			return err
		}
		event, err := firstEvent(document)
		if err != nil {
			return fmt.Errorf("document of %s: %w", number, err)
		}
		if event != verify.EventAccepted && event != verify.EventDelivered {
			continue
		}
		n, err := strconv.ParseUint(number, 10, 64)
		if err != nil {
			return err
		}
		p.rows[n] = true
		if status == "SUCCESS" {
			p.ended[n] = true
		}
		if event == verify.EventDelivered {
			p.delivered[n] = true
		}
	}
	return rows.Err()
}

// firstEvent returns the state of the first event of a document; "" if it has no event.
func firstEvent(document []byte) (verify.EventState, error) {
	var states []verify.EventState
	c := record.Reader(document, time.Time{})
	record.List(&c, 13, &states, func(s *verify.EventState) { record.Text(&c, 4, s) })
	return append(states, "")[0], c.Done()
}

// verdict counts the valid starts and the defects of the others.
type verdict struct {
	counted, unsent, late, unwritten, unverified int
}

// judge counts the starts. A valid start sent its SMS at most within after its answer. If verified
// is set, it must also be verified.
func (p *proof) judge(n numbers, lives []life, within time.Duration, verified bool) (v verdict) {
	var buf []byte
	for i := range lives {
		buf = n.append(buf[:0], lives[i].index)
		number, _ := strconv.ParseUint(string(buf), 10, 64)
		at, sent := p.left[number]
		switch {
		case !sent:
			v.unsent++
		case at-lives[i].answered > within.Nanoseconds():
			v.late++
		case !p.rows[number]:
			v.unwritten++
		case verified && !p.ended[number]:
			v.unverified++
		default:
			v.counted++
		}
	}
	return v
}

func (v verdict) missing() int { return v.unsent + v.late + v.unwritten + v.unverified }

func (v verdict) String() string {
	return fmt.Sprintf("%d starts are valid; %d sent no SMS, %d sent it too long after the answer, %d have no recorded event or charge, %d were not verified",
		v.counted, v.unsent, v.late, v.unwritten, v.unverified)
}
