package bench

import (
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"countersign/internal/deliver/smpp/pdu"
	"countersign/internal/deliver/smpp/smpptest"
	"countersign/internal/server"
)

// connections bounds those to the API. A request that finds none free waits, and
// its clock runs.
const connections = 256

// arrival is what became of one verification, as times since the load began.
type arrival struct {
	due      time.Duration // when it should have been sent
	sent     time.Duration
	answered time.Duration // all of the answer was read
	wire     atomic.Int64  // when the SMSC had read its submit_sm; 0 if not yet
}

// load asks for verifications at fixed times, whatever the answers (an open loop),
// and notes when their messages come. All times are of the clock of one process.
type load struct {
	b        *testing.B
	url      string
	client   *http.Client
	began    time.Time
	arrivals []arrival
	strange  atomic.Int64 // messages for nobody, and second ones
}

func newLoad(b *testing.B, arrivals int) *load {
	transport := &http.Transport{MaxConnsPerHost: connections, MaxIdleConnsPerHost: connections}
	b.Cleanup(transport.CloseIdleConnections)
	return &load{
		b: b, began: time.Now(), arrivals: make([]arrival, arrivals),
		client: &http.Client{Transport: transport, Timeout: patience},
	}
}

// firstNumber is that of the first arrival. Numbers of GB follow that are possible
// though not in use.
const firstNumber = 447_700_000_000

// seen is called for each PDU that the SMSC has read.
func (l *load) seen(_ *smpptest.Session, p pdu.PDU) {
	body, ok := p.Body.(*pdu.SubmitSM)
	if !ok {
		return
	}
	at := time.Since(l.began)
	n, err := strconv.Atoi(body.Destination.Addr)
	if n -= firstNumber; err != nil || n < 0 || n >= len(l.arrivals) || !l.arrivals[n].wire.CompareAndSwap(0, int64(at)) {
		l.strange.Add(1)
	}
}

// run makes the arrivals, so many a second, and waits for all answers and
// messages.
func (l *load) run(rate int) {
	l.b.Helper()
	var requests sync.WaitGroup
	begin := time.Since(l.began)
	for i := range l.arrivals {
		a := &l.arrivals[i]
		a.due = begin + time.Duration(i)*time.Second/time.Duration(rate)
		time.Sleep(a.due - time.Since(l.began))
		requests.Go(func() {
			a.sent = time.Since(l.began)
			if err := l.verify(firstNumber + i); err != nil {
				l.b.Errorf("arrival %d: %v", i, err)
			}
			a.answered = time.Since(l.began)
		})
	}
	requests.Wait()
	for end := time.Now().Add(patience); !l.complete() && time.Now().Before(end); {
		time.Sleep(time.Millisecond)
	}
	if !l.complete() {
		l.b.Fatal("not every verification has its message")
	}
	if n := l.strange.Load(); n > 0 {
		l.b.Fatalf("%d messages that nobody asked for", n)
	}
}

func (l *load) complete() bool {
	for i := range l.arrivals {
		if l.arrivals[i].wire.Load() == 0 {
			return false
		}
	}
	return true
}

// verify starts a verification, which must be accepted.
func (l *load) verify(number int) error {
	form := url.Values{
		"api_key": {server.DemoAccount}, "api_secret": {server.DemoSecret},
		"brand": {"Acme"}, "number": {strconv.Itoa(number)},
	}
	resp, err := l.client.PostForm(l.url+"/verify/json", form)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		return err
	}
	if !strings.Contains(string(body), `"status":"0"`) {
		return fmt.Errorf("answered %d %s", resp.StatusCode, body)
	}
	return nil
}
