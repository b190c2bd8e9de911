package main

import (
	_ "embed"
	"encoding/json"
	"fmt"
	"io"
	"strconv"
	"strings"
	"time"
)

//go:embed inputs.json
var measured []byte

// inputs are the parameters of the simulation, in the order of their file. The file has a
// description and a source of each. It is the only place to update after a new measurement.
type inputs struct {
	list []input
	by   map[string]float64
}

type input struct {
	Name  string  `json:"name"`
	Value float64 `json:"value"`
	Unit  string  `json:"unit"` // µs, ms, s, /s or ""
	What  string  `json:"what"`
	From  string  `json:"from"`
}

// readInputs parses and checks a file of inputs.
func readInputs(text []byte) (in inputs, err error) {
	if err := json.Unmarshal(text, &in.list); err != nil {
		return in, fmt.Errorf("inputs: %w", err)
	}
	in.by = map[string]float64{}
	for _, i := range in.list {
		if _, ok := in.by[i.Name]; ok {
			return in, fmt.Errorf("inputs: %s is repeated", i.Name)
		}
		if _, ok := units()[i.Unit]; !ok || i.Value < 0 {
			return in, fmt.Errorf("inputs: %s has the invalid value %v %s", i.Name, i.Value, i.Unit)
		}
		in.by[i.Name] = i.Value * float64(units()[i.Unit])
	}
	for _, name := range needed() {
		if _, ok := in.by[name]; !ok {
			return in, fmt.Errorf("inputs: %s is missing", name)
		}
	}
	return in, nil
}

// units returns the factor of each unit: nanoseconds for times, otherwise 1.
func units() map[string]time.Duration {
	return map[string]time.Duration{"": 1, "/s": 1, "µs": time.Microsecond, "ms": time.Millisecond, "s": time.Second}
}

// set changes an input: "name=value", in its unit.
func (in inputs) set(assignment string) error {
	name, text, ok := strings.Cut(assignment, "=")
	value, err := strconv.ParseFloat(text, 64)
	if !ok || err != nil || value < 0 {
		return fmt.Errorf("%q is not name=value with a number of at least 0", assignment)
	}
	for i := range in.list {
		if in.list[i].Name == name {
			in.list[i].Value, in.list[i].From = value, "the command line"
			in.by[name] = value * float64(units()[in.list[i].Unit])
			return nil
		}
	}
	return fmt.Errorf("unknown input %q", name)
}

// with returns a copy with changed inputs, in nanoseconds for times.
func (in inputs) with(changes map[string]float64) inputs {
	by := make(map[string]float64, len(in.by))
	for name, value := range in.by {
		by[name] = value
	}
	for name, value := range changes {
		if _, ok := by[name]; !ok {
			panic("unknown input " + name)
		}
		by[name] = value
	}
	return inputs{in.list, by}
}

// Values by type. readInputs has checked that all names exist.
func (in inputs) value(name string) float64      { return in.by[name] }
func (in inputs) count(name string) int          { return int(in.by[name]) }
func (in inputs) time(name string) time.Duration { return time.Duration(in.by[name]) }

// work returns a processor time, scaled by cpu.factor.
func (in inputs) work(name string) time.Duration {
	return time.Duration(in.by[name] * in.by["cpu.factor"])
}

// print writes the inputs as a table.
func (in inputs) print(out io.Writer) {
	fmt.Fprintln(out, "| input | value | description | source |\n|---|--:|---|---|")
	for _, i := range in.list {
		fmt.Fprintf(out, "| `%s` | %s | %s | %s |\n", i.Name, strings.TrimSpace(fmt.Sprint(i.Value, " ", i.Unit)), i.What, i.From)
	}
}

// needed returns the names of all inputs.
func needed() []string {
	return strings.Fields(`
		start.node start.write start.database start.reads start.trips
		check.node check.write check.database check.reads check.trips
		submit.node outcome.write outcome.database outcome.trips
		receipt.node receipt.write receipt.database receipt.trips
		step.write step.database claim.database claim.trips read.database
		commit.write commit.database commit.trips
		cpu.factor writer.count writer.apart writer.batch writer.queue messages claims lease lock.timeout lock.abandoned
		sqlite.commit sqlite.start sqlite.check sqlite.outcome sqlite.receipt sqlite.step sqlite.batch
		bench.cores bench.client bench.trip bench.flush
		cell.nodes node.cores database.cores network.trip network.flush carrier.answer
		base headroom typed typed.later wrong typing receipts receipt.after accounts skew tries tries.after
		balancer standby restore
		measured.accept.1 measured.accept.8 measured.accept.64 measured.accept.256 measured.far
		measured.sqlite.start measured.postgres.start measured.sqlite.check measured.postgres.check
		measured.life.rate measured.life.p50 measured.life.p99`)
}
