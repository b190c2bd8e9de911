// Package simulation runs the engine through what seldom happens: nodes that crash at
// any write, that stop for a minute and go on as if nothing had been, carriers that
// lose answers, clients that give up, and all of it at once. Time is virtual, so that
// an hour takes milliseconds; chance comes from a seed, so that what went wrong can be
// seen again. (The order in which goroutines get their turn is not part of the seed: a
// rare failure may need -count 20.) A judge that knows only what clients, phones and
// the database say in the end tells whether a promise was broken.
//
//	go test ./internal/simulation                                   # 50 seeds
//	COUNTERSIGN_SEEDS=100000 go test -timeout 24h ./internal/simulation
//	COUNTERSIGN_SEED=4711 go test -v ./internal/simulation          # one, with its story
//
// Worlds use SQLite, or PostgreSQL with COUNTERSIGN_TEST_DATABASE=postgres: one server for
// the test process, a copy of a database for each seed, and two or three nodes. There, a
// crash closes the connections of a node, also within a message; a paused node may hold
// locks for 8 s of virtual time. Waits for locks are real, and stop virtual time. A seed repeats the calls, pauses and faults. It repeats
// neither the order of goroutines, nor PostgreSQL's order of waiting transactions, so that
// the commit that a crash interrupts may be another one.
//
//	COUNTERSIGN_TEST_DATABASE=postgres COUNTERSIGN_SEED=4711 go test -v -run TestSimulation ./internal/simulation
//	COUNTERSIGN_TEST_DATABASE=postgres COUNTERSIGN_SEEDS=100000 COUNTERSIGN_SEEDS_FOR=10m go test -v -run TestSimulation ./internal/simulation
//
// COUNTERSIGN_SEEDS_FOR bounds the time in which seeds begin.
//
// The package has no code but tests. It must not be imported.
package simulation
