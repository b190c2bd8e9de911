package store

import (
	"context"
	"errors"
	"time"
)

// handedOver is the channel on which a node tells the others that it has handed work
// over. A channel belongs to a database.
const handedOver = "countersign_handed_over"

// listenAgain is the pause before a connection that was lost is opened again.
const listenAgain = time.Second / 2

// NotifyHandOff wakes the nodes that Listen, once the transaction is committed.
func (tx *Tx) NotifyHandOff() error {
	if tx.notify == "" {
		return nil
	}
	return tx.send(tx.notify, handedOver)
}

// Listen calls wake whenever a node has handed work over, until ctx ends. What it
// misses while its connection is lost is found by whoever looks for what is due, a
// little later. Where no other node may work on the database it returns at once.
func (db *DB) Listen(ctx context.Context, wake func()) {
	if db.primary == nil {
		return
	}
	for {
		err := db.outage.note(db.primary.listen(ctx, wake))
		if ctx.Err() != nil {
			return
		}
		if !errors.Is(err, context.Canceled) { // the end of a term has its own log line
			db.log.Warn("not told what other nodes hand over, trying again", "error", err)
		}
		select {
		case <-ctx.Done():
			return
		case <-time.After(listenAgain):
		}
	}
}

// listen serves one connection, which ends with the term of the primary at the latest, and
// returns the error that ended it.
func (p *primary) listen(ctx context.Context, wake func()) error {
	ctx, end := p.within(ctx)
	defer end()
	conn, err := p.open(ctx, p.cfg) // without time limits: it waits for other nodes
	if err != nil {
		return err
	}
	defer func() { // a goodbye that nobody needs to hear
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Second)
		defer cancel()
		_ = conn.Close(ctx)
	}()
	if _, err := conn.Exec(ctx, "LISTEN "+handedOver); err != nil {
		return err
	}
	wake() // for what was missed
	for {
		if _, err := conn.WaitForNotification(ctx); err != nil {
			return err
		}
		wake()
	}
}
