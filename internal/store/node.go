package store

import "context"

// handedOver is the channel for notifications of handed-off work. A channel belongs to one
// database.
const handedOver = "countersign_handed_over"

// NotifyHandOff wakes all nodes in Listen after the commit.
func (tx *Tx) NotifyHandOff() error {
	if !tx.dialect.Shared {
		return nil
	}
	return tx.send(tx.dialect.Notify, handedOver)
}

// Listen calls wake whenever a node has handed off work, until ctx ends. It misses
// notifications while its connection is lost; the search for due rows then finds the work a
// little later. If no other node may use the database, it returns immediately.
func (db *DB) Listen(ctx context.Context, wake func()) { db.engine.Listen(ctx, handedOver, wake) }
