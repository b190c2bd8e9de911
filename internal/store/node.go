package store

import "context"

// handedOver is the channel on which a node notifies the others that it has handed work
// over. A channel belongs to a database.
const handedOver = "countersign_handed_over"

// NotifyHandOff wakes the nodes that Listen, once the transaction is committed.
func (tx *Tx) NotifyHandOff() error {
	if !tx.dialect.Shared {
		return nil
	}
	return tx.send(tx.dialect.Notify, handedOver)
}

// Listen calls wake whenever a node has handed work over, until ctx ends. While its connection
// is lost, it misses notifications: then the search for due rows finds the work a little later.
// If no other node may use the database, it returns immediately.
func (db *DB) Listen(ctx context.Context, wake func()) { db.engine.Listen(ctx, handedOver, wake) }
