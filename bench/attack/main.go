// Command attack plays what abusers do against a running server, twice: with its guard
// off, and with the guard that it has by default. It prints what got through, and what
// that cost: counted by the SMSC that the messages leave through, not by the server.
//
// The server is the program itself ("countersign serve"), with a database of its own
// in a temporary directory; nothing leaves the loopback. It takes some two minutes.
//
//	go run ./bench/attack
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"time"
)

func main() {
	program := flag.String("program", "", "the program to attack; built from the source if empty")
	scale := flag.Int("scale", 100, "how much of each attack, in percent")
	only := flag.String("only", "", "the one attack to play: pumping, guessing, flooding, stuffing, sequence or mix")
	flag.Parse()
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Minute)
	defer cancel()
	if err := run(ctx, *program, *only, *scale, os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "attack:", err)
		os.Exit(1)
	}
}

// run measures and prints.
func run(ctx context.Context, program, only string, scale int, out io.Writer) error {
	results, err := measure(ctx, program, only, scale)
	if err != nil {
		return err
	}
	return print(out, results)
}

// measure plays the attacks with the guard off, and then on.
func measure(ctx context.Context, program, only string, scale int) (results [2][]result, err error) {
	dir, err := os.MkdirTemp("", "countersign-attack")
	if err != nil {
		return results, err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	if program == "" {
		program = filepath.Join(dir, "countersign")
		build := exec.CommandContext(ctx, "go", "build", "-o", program, "countersign/cmd/countersign")
		build.Stderr = os.Stderr
		if err := build.Run(); err != nil {
			return results, fmt.Errorf("build: %w", err)
		}
	}
	for guard := range results {
		t, err := newTarget(ctx, program, filepath.Join(dir, fmt.Sprint(guard)), guard == 1)
		if err != nil {
			return results, err
		}
		for _, a := range attacks() {
			if only != "" && a.name != only {
				continue
			}
			began := time.Now()
			r, err := t.play(ctx, a, scale)
			if err != nil {
				return results, fmt.Errorf("%s: %w", a.name, errors.Join(err, t.stop()))
			}
			fmt.Fprintf(os.Stderr, "%s, guard %s: %v\n", a.name, [2]string{"off", "on"}[guard], time.Since(began).Round(time.Second/10))
			results[guard] = append(results[guard], r)
		}
		if err := t.stop(); err != nil {
			return results, err
		}
	}
	if len(results[0]) == 0 {
		return results, fmt.Errorf("there is no attack %q", only)
	}
	return results, nil
}

// print writes the table, two lines for each attack.
func print(out io.Writer, results [2][]result) error {
	lines := "| attack | guard | requests | accepted | SMS sent | list price, USD | guesses | most SMS to one number | good users | of them refused | good p50 / p99, ms |\n" +
		"|---|---|--:|--:|--:|--:|--:|--:|--:|--:|--:|\n"
	for i := range results[0] {
		for guard, word := range []string{"off", "on"} {
			r := results[guard][i]
			latency := "–"
			if r.good > 0 {
				latency = fmt.Sprintf("%.1f / %.1f", r.p50, r.p99)
			}
			lines += fmt.Sprintf("| %s | %s | %d | %d | %d | %.2f | %d | %d | %d | %d | %s |\n", r.attack, word,
				r.requests, r.accepted, r.messages, float64(r.messages)*listPrice, r.guesses, r.victim, r.good, r.refused, latency)
		}
	}
	_, err := io.WriteString(out, lines)
	return err
}
