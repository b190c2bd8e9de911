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

// defaultKills takes three quarters of a minute. Without a fault in 50 kills, fewer than 6 % of
// kills cause a fault (with 95 % certainty). COUNTERSIGN_KILLS sets another number, as
// "make torture" does.
const defaultKills = 50

// TestCrash kills the program at random moments while clients use it, and restarts it. The
// journals of clients and phone must show that no work was lost or done twice. A kill
// ends the process and not the machine: data handed to the kernel survives it.
//
// COUNTERSIGN_SEED repeats the choices of a run, though not its timing. The flag -artifacts of
// go test keeps the database.
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
			// The program is killed again before it has recovered.
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
	t.Logf("%d kills, %d of them during a start; %v; slowest start %v",
		len(c.outages), early, v, c.slowestStart.Round(time.Millisecond))
	if t.Failed() {
		t.Logf("COUNTERSIGN_SEED=%d; log lines of the program:", seed)
		for _, complaint := range slices.Sorted(maps.Keys(c.complaints)) {
			t.Logf("%d× %s", c.complaints[complaint], complaint)
		}
	}
}

// TestCrashAtFirstStart kills the program while it creates its key and its database. The next
// start must succeed.
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

// report fails the test for each fault.
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

// setting returns a number from the environment, or fallback if the variable is not set.
func setting(t *testing.T, name string, fallback int64) int64 {
	t.Helper()
	text := os.Getenv(name)
	if text == "" {
		return fallback
	}
	n, err := strconv.ParseInt(text, 10, 64)
	if err != nil || n < 0 {
		t.Fatalf("%s=%s is not a number of at least 0", name, text)
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

	complaints map[string]int // log lines of the program without their time, counted

	started      time.Time // start time of the process of server
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

// quietAddress returns a free address outside the kernel's range for outgoing connections.
// While the program is down, a client could otherwise get this very port and connect
// to itself.
//
// The port does not depend on a seed: if it is in use, the faults of the seed stay the same.
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

// start starts the program without waiting for it.
func (c *crash) start() {
	c.t.Helper()
	c.started = time.Now()
	c.server = launch(c.t, "demo", "--unlimited", "--listen", c.listen, "--data", c.dir, "--speed", strconv.Itoa(crashSpeed))
}

// awaitReady waits until the program answers, which ends the outages. It is idempotent.
func (c *crash) awaitReady() {
	c.t.Helper()
	s := c.server
	if s.url != "" {
		return
	}
	select {
	case s.url = <-s.log.url:
	case <-s.ended:
		c.t.Fatalf("the program ended before it listened: %v\n%s", s.cmd.ProcessState, s.log)
	case <-time.After(patience):
		c.t.Fatalf("the program did not log its address:\n%s", s.log)
	}
	s.messages(c.t, "447700900000")
	now := time.Now()
	for i := len(c.outages) - 1; i >= 0 && c.outages[i].back.IsZero(); i-- {
		c.outages[i].back = now
	}
	took := now.Sub(c.started)
	c.slowestStart = max(c.slowestStart, took)
	c.slowStart = (3*c.slowStart + 5*took/4) / 4 // a quarter above the average
}

// lifetime returns the time from a start to the next kill. Short times are more likely, because
// they allow more kills in a given time.
func (c *crash) lifetime() time.Duration {
	const least, most = 100 * time.Millisecond, 1500 * time.Millisecond
	x := c.rng.Float64()
	return least + time.Duration(x*x*float64(most-least))
}

func (c *crash) kill() {
	c.t.Helper()
	select {
	case <-c.server.ended:
		c.t.Fatalf("the program ended before it was killed: %v\n%s", c.server.cmd.ProcessState, c.server.log)
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
