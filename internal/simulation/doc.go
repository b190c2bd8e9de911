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
// The package has no code but tests. It must not be imported.
package simulation
