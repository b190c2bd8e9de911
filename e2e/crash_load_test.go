package e2e

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"net/url"
	"sync"
	"testing"
	"time"
)

const (
	crashSpeed  = 50
	arrivalGap  = 10 * time.Millisecond // average time between two verifications
	rush        = 24                    // clients that start together before some kills
	maxPeople   = 250                   // concurrent clients
	callTimeout = 30 * time.Second
	unknown     = "5" // status of a call that lost the database
)

// crashPlans returns the plans of the verifications, at crashSpeed. They are short, so that every
// kind of step is due between the kills, some with the previous PIN and some with a new one.
func crashPlans() []plan {
	seconds := func(list ...int) (waits []time.Duration) {
		for _, s := range list {
			waits = append(waits, time.Duration(s)*time.Second/crashSpeed)
		}
		return waits
	}
	pin := func(s int) time.Duration { return seconds(s)[0] }
	plans := []plan{
		{channels: []string{"sms", "tts", "tts"}, waits: seconds(125, 180, 300), pinLife: pin(300)},
		{
			params:   map[string]string{"workflow_id": "2", "next_event_wait": "60", "pin_expiry": "60"},
			channels: []string{"sms", "sms", "tts"}, waits: seconds(60, 60, 60), pinLife: pin(60),
		},
		{params: map[string]string{"workflow_id": "3"}, channels: []string{"tts", "tts"}, waits: seconds(150, 150), pinLife: pin(300)},
		{params: map[string]string{"workflow_id": "4"}, channels: []string{"sms", "sms"}, waits: seconds(120, 180), pinLife: pin(300)},
		{params: map[string]string{"workflow_id": "6", "pin_expiry": "120"}, channels: []string{"sms"}, waits: seconds(0), pinLife: pin(120)},
	}
	for i := range plans {
		plans[i].minute = time.Minute / crashSpeed
	}
	return plans
}

// cancelAfter is the age from which a verification can be cancelled.
const cancelAfter = 30 * time.Second / crashSpeed

// longest returns the maximum duration of a verification while the program runs.
func (p plan) longest() time.Duration {
	last := len(p.waits) - 1
	sum := max(p.waits[last], p.pinLife)
	for _, w := range p.waits[:last] {
		sum += w
	}
	return sum
}

// longestOf returns the longest duration of the plans.
func longestOf(plans []plan) (longest time.Duration) {
	for _, p := range plans {
		longest = max(longest, p.longest())
	}
	return longest
}

// load is a group of clients that use the program while it is killed. Its journal has their
// calls and the answers.
type load struct {
	urls   []string // addresses of the nodes; each call uses a random one
	offers []plan   // plans from which each client gets a random one
	seed   uint64
	http   http.Client
	rush   chan int // numbers of clients to start together

	mu    sync.Mutex
	calls []call
	plans map[string]plan // by number
}

func newLoad(seed uint64, urls ...string) *load {
	return &load{
		urls: urls, offers: crashPlans(), seed: seed, rush: make(chan int), plans: map[string]plan{},
		http: http.Client{
			Timeout:   callTimeout,
			Transport: &http.Transport{MaxIdleConnsPerHost: 64, IdleConnTimeout: time.Minute},
		},
	}
}

// run starts clients until ctx ends, and returns when all have finished.
func (l *load) run(ctx context.Context) {
	rng := rand.New(rand.NewPCG(l.seed, 0))
	places := make(chan struct{}, maxPeople)
	var people sync.WaitGroup
	defer people.Wait()
	for n := 1; ; {
		come := 1
		select {
		case <-ctx.Done():
			return
		case come = <-l.rush:
		case <-time.After(time.Duration(rng.ExpFloat64() * float64(arrivalGap))):
		}
		for range come {
			select {
			case <-ctx.Done():
				return
			case places <- struct{}{}:
			}
			p := l.newPerson(n)
			n++
			people.Go(func() {
				defer func() { <-places }()
				p.live()
			})
		}
	}
}

// person is a user with a number, and the application that verifies it.
type person struct {
	*load
	rng    *rand.Rand
	number string
	plan   plan
	id     string // request id; "" until known
}

func (l *load) newPerson(n int) *person {
	p := &person{load: l, rng: rand.New(rand.NewPCG(l.seed, uint64(n)))}
	p.plan = l.offers[p.rng.IntN(len(l.offers))]
	if n >= 790000 { // a demonstration treats this number differently
		panic("out of numbers")
	}
	// Every fourth number has another price, so that charges of the two groups differ.
	if p.number, p.plan.price = fmt.Sprintf("447700%06d", 100000+n), 12050000; n%4 == 0 {
		p.number, p.plan.price = fmt.Sprintf("1201%07d", 5500000+n), 3610000
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.plans[p.number] = p.plan
	return p
}

// live starts a verification and behaves like a random user and application.
func (p *person) live() {
	if !p.start() {
		return
	}
	does := p.rng.IntN(100)
	switch {
	case does < 30: // never reacts
	case does < 45:
		p.check(p.read(1))
		p.again()
	case does < 55:
		for range 1 + p.rng.IntN(2) {
			p.check(p.mistype(p.read(1)))
		}
		p.check(p.read(1))
		p.again()
	case does < 63:
		pin := p.read(1)
		for range triesPerPIN {
			p.check(p.mistype(pin))
		}
		p.check(pin)
	case does < 70: // four clients send the same code at the same time
		p.crowd(p.read(1))
	case does < 80:
		p.sleep(cancelAfter, cancelAfter+500*time.Millisecond)
		p.control("cancel")
		p.check(p.read(1))
	case does < 92:
		p.sleep(0, 500*time.Millisecond)
		p.control("trigger")
		if p.rng.IntN(2) == 0 {
			p.control("trigger")
		}
		p.check(p.read(2))
		p.again()
	default: // reacts at any time, perhaps too late
		p.sleep(0, p.plan.longest())
		p.check(p.read(1))
	}
}

// start starts the verification. After a broken connection it usually retries: an answer with
// status 10 then has the id of the verification.
func (p *person) start() bool {
	params := url.Values{"number": {p.number}, "brand": {"Acme"}}
	for name, value := range p.plan.params {
		params.Set(name, value)
	}
	for {
		c := p.call(call{verb: "start", number: p.number}, "/verify/json", params)
		if c.status != "" || p.rng.IntN(2) == 0 {
			p.id = c.request
			return p.id != ""
		}
	}
}

// read waits for the nth message and returns the PIN of the newest; "" if it does not arrive
// within the longest duration of the plan.
func (p *person) read(n int) string {
	for deadline := time.Now().Add(p.plan.longest()); time.Now().Before(deadline); p.sleep(10*time.Millisecond, 40*time.Millisecond) {
		messages, err := p.messages(p.number)
		if err == nil && len(messages) >= n {
			return messages[len(messages)-1].saysPIN()
		}
	}
	return ""
}

// mistype returns a code that differs from pin.
func (p *person) mistype(pin string) string {
	for {
		if code := fmt.Sprintf("%04d", p.rng.IntN(10000)); code != pin {
			return code
		}
	}
}

// check submits a code, at most three times while the connection breaks.
func (p *person) check(code string) {
	params := url.Values{"request_id": {p.id}, "code": {code}}
	for tries := 0; code != "" && tries < 3; tries++ {
		c := p.call(call{verb: "check", number: p.number, request: p.id, code: code}, "/verify/check/json", params)
		if c.status != "" {
			return
		}
	}
}

// again sometimes submits the newest code again later, which must fail after a success.
func (p *person) again() {
	if p.rng.IntN(2) == 0 {
		p.sleep(0, 1500*time.Millisecond)
		p.check(p.read(1))
	}
}

func (p *person) crowd(code string) {
	var crowd sync.WaitGroup
	for range 4 {
		crowd.Go(func() { p.check(code) })
	}
	crowd.Wait()
}

// control sends a command once, without a retry: after a broken connection it is unknown
// whether the command took effect.
func (p *person) control(verb string) {
	cmd := verb
	if verb == "trigger" {
		cmd = "trigger_next_event"
	}
	p.call(call{verb: verb, number: p.number, request: p.id}, "/verify/control/json", url.Values{"request_id": {p.id}, "cmd": {cmd}})
}

func (p *person) sleep(least, most time.Duration) {
	lapse(least + time.Duration(p.rng.Int64N(int64(most-least))))
}

// call makes a call and adds it to the journal. It waits while no node accepts connections: a call
// that was not sent does not count.
func (l *load) call(c call, path string, params url.Values) call {
	params.Set("api_key", apiKey)
	params.Set("api_secret", apiSecret)
	for {
		c.sent = time.Now()
		// POST, because net/http silently retries a GET after a broken connection.
		res, err := l.http.PostForm(l.node()+path, params)
		var dial *net.OpError
		if errors.As(err, &dial) && dial.Op == "dial" {
			lapse(50*time.Millisecond + rand.N(50*time.Millisecond)) // a faster retry of all clients would slow the start
			continue
		}
		var a struct {
			Status    string
			RequestID string `json:"request_id"`
			ErrorText string `json:"error_text"`
		}
		if err == nil {
			err = decodeAnswer(res, &a)
		}
		c.answered = time.Now()
		if err == nil {
			c.status, c.text = a.Status, a.ErrorText
			if c.status == unknown { // it may have taken effect, as without an answer
				c.status = ""
			}
			if c.verb == "start" {
				c.request = a.RequestID
			}
		}
		l.mu.Lock()
		defer l.mu.Unlock()
		l.calls = append(l.calls, c)
		return c
	}
}

// decodeAnswer decodes an answer. An incomplete answer is an error.
func decodeAnswer(res *http.Response, into any) error {
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	if err == nil {
		err = json.Unmarshal(body, into)
	}
	return err
}

// node returns a random URL, like a load balancer without health checks.
func (l *load) node() string { return l.urls[rand.IntN(len(l.urls))] }

// get makes a read-only call.
func (l *load) get(path string, params url.Values, into any) error {
	res, err := l.http.Get(l.node() + path + "?" + params.Encode())
	if err != nil {
		return err
	}
	return decodeAnswer(res, into)
}

func (l *load) messages(number string) ([]message, error) {
	var inbox struct{ Messages []message }
	err := l.get("/phone/api/messages", url.Values{"number": {number}}, &inbox)
	return inbox.Messages, err
}

// search returns the verifications with these ids.
func (l *load) search(ids ...string) ([]found, error) {
	var answer struct {
		List   []found `json:"verification_requests"`
		Status string
		Text   string `json:"error_text"`
	}
	err := l.get("/verify/search/json", url.Values{"api_key": {apiKey}, "api_secret": {apiSecret}, "request_ids": ids}, &answer)
	if err == nil && answer.Status != "" && answer.Status != "101" { // 101: not found
		err = fmt.Errorf("search: status %s %s", answer.Status, answer.Text)
	}
	return answer.List, err
}

// collect returns the evidence from the program at the end: the phone's journal, and the answer
// of search for each verification in a journal of clients or phone.
func (l *load) collect(t *testing.T) evidence {
	t.Helper()
	e := evidence{plans: l.plans, calls: l.calls, phone: map[string][]message{}, found: map[string]found{}}
	var mu sync.Mutex
	var numbers []string
	for number := range l.plans {
		numbers = append(numbers, number)
	}
	inParallel(t, numbers, 1, func(chunk []string) error {
		messages, err := l.messages(chunk[0])
		mu.Lock()
		defer mu.Unlock()
		e.phone[chunk[0]] = messages
		return err
	})
	known := map[string]bool{}
	for _, c := range l.calls {
		known[c.request] = true
	}
	for _, messages := range e.phone {
		for _, m := range messages {
			known[m.RequestID] = true
		}
	}
	delete(known, "")
	var ids []string
	for id := range known {
		ids = append(ids, id)
	}
	inParallel(t, ids, 10, func(chunk []string) error {
		list, err := l.search(chunk...)
		mu.Lock()
		defer mu.Unlock()
		for _, f := range list {
			e.found[f.RequestID] = f
		}
		return err
	})
	return e
}

// inParallel calls do for chunks of n items, four at a time.
func inParallel(t *testing.T, items []string, n int, do func(chunk []string) error) {
	t.Helper()
	chunks := make(chan []string)
	var workers sync.WaitGroup
	for range 4 {
		workers.Go(func() {
			for chunk := range chunks {
				if err := do(chunk); err != nil {
					t.Error(err)
				}
			}
		})
	}
	for len(items) > 0 {
		size := min(n, len(items))
		chunks <- items[:size]
		items = items[size:]
	}
	close(chunks)
	workers.Wait()
}
