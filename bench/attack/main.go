// Command attack attacks a running server and prints the effect. Attacks with an account run
// twice: with the fraud protection off, and with its defaults. The printed messages and costs
// are counted by the SMSC, not by the server. Attacks on the listener need no account; for
// them it prints the number of clients served during the attack, and the server's memory.
//
// The server is the program itself ("countersign serve" and "countersign demo") with a
// temporary database. All traffic stays on the loopback. A run takes about four minutes.
// Use -program to attack an older release.
//
//	go run ./bench/attack
//	go run ./bench/attack -only 'rapid reset'
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
	program := flag.String("program", "", "program to attack; default: built from the source")
	scale := flag.Int("scale", 100, "size of each attack in percent")
	only := flag.String("only", "", "run only this attack, by its name in the tables")
	peers := flag.Int("peers", 0, "with -only and -target: run only this number of the attack's peers, until standard input ends")
	target := flag.String("target", "", "with -peers: address to attack, on the loopback")
	flag.Parse()
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Minute)
	defer cancel()
	var err error
	if *target != "" {
		err = assail(ctx, *only, *peers, *target, os.Stdin, os.Stdout)
	} else {
		err = run(ctx, *program, *only, *scale, os.Stdout)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "attack:", err)
		os.Exit(1)
	}
}

// run runs the attacks and prints the tables.
func run(ctx context.Context, program, only string, scale int, out io.Writer) (err error) {
	dir, err := os.MkdirTemp("", "countersign-attack")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	if program == "" {
		if program, err = build(ctx, dir); err != nil {
			return err
		}
	}
	results, err := measure(ctx, program, dir, only, scale)
	if err != nil {
		return err
	}
	outcomes, err := endure(ctx, program, only, scale)
	if err != nil {
		return err
	}
	if len(results[0]) == 0 && len(outcomes) == 0 {
		return fmt.Errorf("unknown attack %q", only)
	}
	if len(results[0]) > 0 {
		err = print(out, results)
	}
	if len(outcomes) > 0 {
		err = errors.Join(err, printSieges(out, outcomes))
	}
	return err
}

// build builds the program from the source.
func build(ctx context.Context, dir string) (program string, err error) {
	program = filepath.Join(dir, "countersign")
	cmd := exec.CommandContext(ctx, "go", "build", "-o", program, "countersign/cmd/countersign")
	cmd.Stderr = os.Stderr
	if err := cmd.Run(); err != nil {
		return "", fmt.Errorf("build: %w", err)
	}
	return program, nil
}

// endure runs the attacks on the listener, for 20 seconds each at 100 %.
func endure(ctx context.Context, program, only string, scale int) (outcomes []outcome, err error) {
	for _, a := range sieges() {
		if only != "" && a.name != only {
			continue
		}
		a.peers = a.peers * scale / 100
		o, err := withstand(ctx, program, a, 20*time.Second*time.Duration(scale)/100)
		if err != nil {
			return outcomes, fmt.Errorf("%s: %w", a.name, err)
		}
		outcomes = append(outcomes, o)
	}
	return outcomes, nil
}

// measure runs the attacks with an account, first with the fraud protection off, then on.
func measure(ctx context.Context, program, dir, only string, scale int) (results [2][]result, err error) {
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
			fmt.Fprintf(os.Stderr, "%s, protection %s: %v\n", a.name, [2]string{"off", "on"}[guard], time.Since(began).Round(time.Second/10))
			results[guard] = append(results[guard], r)
		}
		if err := t.stop(); err != nil {
			return results, err
		}
	}
	return results, nil
}

// print writes the table, with two rows for each attack.
func print(out io.Writer, results [2][]result) error {
	lines := "| attack | protection | requests | accepted | SMS sent | list price, USD | guesses | most SMS to one number | legitimate users | refused | their p50 / p99, ms |\n" +
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
