package e2e

import (
	"context"
	"fmt"
	"maps"
	"math/rand/v2"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"
)

// defaultKills takes three quarters of a minute. That nothing goes wrong in so many
// kills says that it goes wrong in less than 6 % of them (with 95 % certainty);
// COUNTERSIGN_KILLS asks for more, as "make torture" does.
const defaultKills = 50

// TestCrash kills the program at random moments while clients use it, starts it
// again, and judges by the journals of the clients and of the phone whether
// anything was lost or done twice. A kill ends the process and not the machine:
// what the program has handed to the kernel survives it.
//
// COUNTERSIGN_SEED repeats the choices of a run, though not its timing. With
// "go test -artifacts" the database is kept.
func TestCrash(t *testing.T) {
	kills := int(setting(t, "COUNTERSIGN_KILLS", defaultKills))
	seed := uint64(setting(t, "COUNTERSIGN_SEED", rand.Int64()))
	c := newCrash(t, seed)
	t.Logf("%d kills, COUNTERSIGN_SEED=%d", kills, seed)

	c.start()
	c.awaitReady()
	l := newLoad(seed, c.server.url)
	ctx, noMore := context.WithCancel(t.Context())
	defer noMore()
	finished := make(chan struct{})
	go func() {
		defer close(finished)
		l.run(ctx)
	}()

	early := 0
	for range kills {
		if c.rng.IntN(10) == 0 {
			// Killed once more before it has recovered.
			lapse(time.Duration(c.rng.Float64() * float64(c.slowStart)))
			early++
		} else {
			c.awaitReady()
			lapse(c.lifetime())
			if c.rng.IntN(2) == 0 {
				l.rush <- rush
				lapse(time.Duration(c.rng.Float64() * float64(20*time.Millisecond)))
			}
		}
		c.kill()
		c.start()
	}
	c.awaitReady()
	noMore()
	last := time.Now()
	<-finished
	lapse(time.Until(last.Add(longestOf(crashPlans()) + time.Second)))

	e := l.collect(t)
	c.server.stop(t)
	e.outages = c.outages
	e.books = readBooks(t, c.database())
	v := judge(e)
	v.report(t)
	t.Logf("%d kills, %d of them while it started; %v; slowest start %v",
		len(c.outages), early, v, c.slowestStart.Round(time.Millisecond))
	if t.Failed() {
		t.Logf("COUNTERSIGN_SEED=%d; the program complained:", seed)
		for _, complaint := range slices.Sorted(maps.Keys(c.complaints)) {
			t.Logf("%d× %s", c.complaints[complaint], complaint)
		}
	}
}

// TestCrashAtFirstStart kills the program while it makes its key and its
// database. It must be possible to start it after that.
func TestCrashAtFirstStart(t *testing.T) {
	t.Parallel()
	const kills = 20
	seed := uint64(setting(t, "COUNTERSIGN_SEED", rand.Int64()))
	c := newCrash(t, seed)
	c.start()
	c.awaitReady()
	usual := c.slowestStart
	c.server.stop(t)
	dir := c.dir
	for n := range kills {
		c.dir = filepath.Join(dir, strconv.Itoa(n))
		c.start()
		lapse(time.Duration(c.rng.Float64() * float64(usual)))
		c.server.kill()
		c.start()
		c.awaitReady()
		c.server.verify(t, "447700900100")
		c.server.stop(t)
	}
}

// report fails the test for what must not be.
func (v *verdict) report(t *testing.T) {
	t.Helper()
	const maxShown = 40
	for i, f := range v.faults {
		if i == maxShown {
			t.Errorf("and %d more", len(v.faults)-maxShown)
			break
		}
		t.Error(f)
	}
}

// setting reads a number from the environment.
func setting(t *testing.T, name string, fallback int64) int64 {
	t.Helper()
	text := os.Getenv(name)
	if text == "" {
		return fallback
	}
	n, err := strconv.ParseInt(text, 10, 64)
	if err != nil || n < 0 {
		t.Fatalf("%s=%s is no number", name, text)
	}
	return n
}

// crash starts and kills the program.
type crash struct {
	t       *testing.T
	dir     string
	listen  string
	rng     *rand.Rand
	server  *server
	outages []outage

	complaints map[string]int // what the program has logged, but for the time

	started      time.Time // the process of server
	slowStart    time.Duration
	slowestStart time.Duration
}

func newCrash(t *testing.T, seed uint64) *crash {
	t.Helper()
	c := &crash{t: t, dir: t.ArtifactDir(), rng: rand.New(rand.NewPCG(seed, 1<<63)), complaints: map[string]int{}}
	c.listen = quietAddress(t)
	t.Cleanup(func() {
		if c.server != nil {
			c.server.kill()
		}
	})
	return c
}

// quietAddress is an address where nobody listens, with a port that the kernel
// does not give to outgoing connections: while the program is down a client
// could otherwise be given that very port, and be connected to itself.
//
// The port is not drawn from a seed: if one is taken, the faults of the seed stay the same.
func quietAddress(t *testing.T) string {
	t.Helper()
	for range 100 {
		address := fmt.Sprintf("127.0.0.1:%d", 15000+rand.IntN(15000))
		l, err := net.Listen("tcp", address)
		if err == nil {
			l.Close()
			return address
		}
	}
	t.Fatal("no free port")
	return ""
}

func (c *crash) database() string { return filepath.Join(c.dir, "countersign.db") }

// start starts the program, and does not wait for it.
func (c *crash) start() {
	c.t.Helper()
	c.started = time.Now()
	c.server = launch(c.t, "demo", "--unlimited", "--listen", c.listen, "--data", c.dir, "--speed", strconv.Itoa(crashSpeed))
}

// awaitReady waits until the program answers, which ends the outages. Doing so
// again changes nothing.
func (c *crash) awaitReady() {
	c.t.Helper()
	s := c.server
	if s.url != "" {
		return
	}
	select {
	case s.url = <-s.log.url:
	case <-s.ended:
		c.t.Fatalf("the program does not start: %v\n%s", s.cmd.ProcessState, s.log)
	case <-time.After(patience):
		c.t.Fatalf("the program does not say where it listens:\n%s", s.log)
	}
	s.messages(c.t, "447700900000")
	now := time.Now()
	for i := len(c.outages) - 1; i >= 0 && c.outages[i].back.IsZero(); i-- {
		c.outages[i].back = now
	}
	took := now.Sub(c.started)
	c.slowestStart = max(c.slowestStart, took)
	c.slowStart = (3*c.slowStart + 5*took/4) / 4 // a quarter more than usual
}

// lifetime is how long the program lives after it has started: short lives are
// the more likely ones, since they crash more in a given time.
func (c *crash) lifetime() time.Duration {
	const least, most = 100 * time.Millisecond, 1500 * time.Millisecond
	x := c.rng.Float64()
	return least + time.Duration(x*x*float64(most-least))
}

func (c *crash) kill() {
	c.t.Helper()
	select {
	case <-c.server.ended:
		c.t.Fatalf("the program has ended by itself: %v\n%s", c.server.cmd.ProcessState, c.server.log)
	default:
	}
	c.server.kill()
	for line := range strings.Lines(c.server.log.String()) {
		if _, complaint, ok := strings.Cut(line, " level="); ok {
			c.complaints[strings.TrimSpace(complaint)]++
		}
	}
	died := time.Now()
	c.outages = append(c.outages, outage{died: died, inFlight: inFlight(c.t, c.database(), died)})
}
