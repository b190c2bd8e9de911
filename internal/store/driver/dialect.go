package driver

import "time"

// Dialect is the difference between the SQL of engines. All other statements are the same
// text on each. Fields with a part of a statement begin with a space, or are empty.
type Dialect struct {
	Name  string // name of the engine, and of the folder with its migrations
	Goose string // name of the engine in package goose

	// Shared is set if several nodes may use the database at the same time. Then a transaction
	// locks the rows that it reads in order to change them.
	Shared bool
	// RoundTrips is set if a statement costs a round trip to a server. Then a batch loads its
	// input before its first job, and one statement is for many rows.
	RoundTrips bool

	// Begin begins a transaction that writes.
	Begin string
	// Lock ends a query for rows that the transaction changes. Unlike FOR UPDATE, it does
	// not block checks of foreign keys.
	Lock string
	// Claim is Lock for a query for any rows: it skips rows locked by other transactions.
	Claim string
	// Take is Claim for a query for rows that the transaction deletes.
	Take string
	// Among ends a condition on ids in the set $1, an argument of IDs.
	Among string
	// IDs returns a set of ids of 16 octets as the argument of Among.
	IDs func(ids [][]byte) (any, error)
	// LockNumber locks the number $1 until the transaction ends. "" if not Shared.
	LockNumber string
	// LockTable is the beginning of a statement that locks a table against changes by other
	// transactions until the end of this one; %s is the table. "" if not Shared.
	LockTable string
	// Notify notifies the nodes that listen on the channel $1, after the commit. "" if not
	// Shared.
	Notify string
	// Clock reads the time of the server. "" for an engine without one.
	Clock string
	// Columns reads the names of the columns of a table, as name; %s is the table. It returns no
	// row for a table that does not exist.
	Columns string

	// PingSize is the number of octets that a ping writes. It exceeds a request's size if
	// octets cost little.
	PingSize int
	// RetryFor is the time after which a batch that failed is not divided; zero for no limit.
	RetryFor time.Duration
}
