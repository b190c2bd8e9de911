// Package simulation tests the engine and its store with rare faults, all at the same time.
// Nodes crash at any write, or pause for a minute and continue. Carriers lose responses.
// Clients time out. Numbers are erased while their verifications begin. Time is virtual, so
// an hour takes milliseconds. A seed determines the calls, pauses and faults. At the end, a judge
// compares clients, phones and the database, and reports broken promises.
//
//	go test ./internal/simulation                                   # 50 seeds
//	COUNTERSIGN_SEEDS=100000 go test -timeout 24h ./internal/simulation
//	COUNTERSIGN_SEED=4711 go test -v -run TestSimulation ./internal/simulation # one, with its story
//
// A seed does not determine the order of goroutines, nor on PostgreSQL the order of waiting
// transactions, so a crash may interrupt another commit. A rare failure may need -count 20.
//
// Worlds use SQLite, or PostgreSQL if COUNTERSIGN_TEST_DATABASE is postgres. COUNTERSIGN_SEEDS_FOR
// bounds the time in which seeds begin.
//
//	export COUNTERSIGN_TEST_DATABASE=postgres
//	COUNTERSIGN_SEED=4711 go test -v -run TestSimulation ./internal/simulation
//	COUNTERSIGN_SEEDS=100000 COUNTERSIGN_SEEDS_FOR=10m go test -v -run TestSimulation ./internal/simulation
//
// On PostgreSQL, each world has a copy of a database on one server, and two or three nodes. A
// crash closes the connections of a node, also within a message. A paused node may hold locks,
// for 8 s of virtual time. A wait for a lock is real and stops virtual time.
//
// The server keeps its data in memory (/dev/shm) with fsync off, because a simulated crash is
// a process crash and not a power cut. The program has its production settings, except for
// lock_timeout and the interval at which nodes look for due rows (see clock).
//
// The package has only tests. It must not be imported.
package simulation
