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
	arrivalGap  = 10 * time.Millisecond // between two verifications, on average
	rush        = 24                    // how many come at once before some kills
	maxPeople   = 250                   // at once
	callTimeout = 30 * time.Second
	unknown     = "5" // the status of a call during which the database was lost
)

// crashPlans are what is asked of the program, at crashSpeed. They are short
// enough that every kind of step falls due between the kills, some of them with
// the PIN that went before and some with a new one.
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

// longest is how long a verification may last when the program is not down.
func (p plan) longest() time.Duration {
	last := len(p.waits) - 1
	sum := max(p.waits[last], p.pinLife)
	for _, w := range p.waits[:last] {
		sum += w
	}
	return sum
}

// longestOf is how long any of some plans may last.
func longestOf(plans []plan) (longest time.Duration) {
	for _, p := range plans {
		longest = max(longest, p.longest())
	}
	return longest
}

// load is a crowd of clients that use the program while it is killed. What they
// do and see goes into the journal.
type load struct {
	urls   []string // of the nodes; any will do
	offers []plan   // drawn from by each person
	seed   uint64
	http   http.Client
	rush   chan int // as many come at once

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

// run lets people come until ctx ends, and returns when all have finished.
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

// person is somebody with a number, and the application that verifies it.
type person struct {
	*load
	rng    *rand.Rand
	number string
	plan   plan
	id     string // of the verification; "" before it is known
}

func (l *load) newPerson(n int) *person {
	p := &person{load: l, rng: rand.New(rand.NewPCG(l.seed, uint64(n)))}
	p.plan = l.offers[p.rng.IntN(len(l.offers))]
	if n >= 790000 { // the number would be one of those that a demonstration treats in its own way
		panic("out of numbers")
	}
	// One in four has another price, so that no charge can pass for another.
	if p.number, p.plan.price = fmt.Sprintf("447700%06d", 100000+n), 12050000; n%4 == 0 {
		p.number, p.plan.price = fmt.Sprintf("1201%07d", 5500000+n), 3610000
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.plans[p.number] = p.plan
	return p
}

// live starts a verification and does with it what people and applications do.
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
	case does < 70: // four windows send the same code at once
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
	default: // reacts at any time, too late perhaps
		p.sleep(0, p.plan.longest())
		p.check(p.read(1))
	}
}

// start starts the verification. When the connection breaks the application asks
// again, mostly: status 10 then tells it the id that it missed.
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

// read waits for the nth message and gives the PIN of the newest; "" when none
// comes before the verification must be over.
func (p *person) read(n int) string {
	for deadline := time.Now().Add(p.plan.longest()); time.Now().Before(deadline); p.sleep(10*time.Millisecond, 40*time.Millisecond) {
		messages, err := p.messages(p.number)
		if err == nil && len(messages) >= n {
			return messages[len(messages)-1].saysPIN()
		}
	}
	return ""
}

// mistype gives another code than pin.
func (p *person) mistype(pin string) string {
	for {
		if code := fmt.Sprintf("%04d", p.rng.IntN(10000)); code != pin {
			return code
		}
	}
}

// check submits a code, again when the connection breaks.
func (p *person) check(code string) {
	params := url.Values{"request_id": {p.id}, "code": {code}}
	for tries := 0; code != "" && tries < 3; tries++ {
		c := p.call(call{verb: "check", number: p.number, request: p.id, code: code}, "/verify/check/json", params)
		if c.status != "" {
			return
		}
	}
}

// again submits the newest code once more some time later, which must be in vain.
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

// control gives a command, once: nobody knows whether one without an answer was
// carried out.
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

// call makes a call and writes it into the journal. While nobody listens it
// waits, since a call that was not sent is none.
func (l *load) call(c call, path string, params url.Values) call {
	params.Set("api_key", apiKey)
	params.Set("api_secret", apiSecret)
	for {
		c.sent = time.Now()
		// A POST: a GET would be repeated without telling when its connection
		// breaks.
		res, err := l.http.PostForm(l.node()+path, params)
		var dial *net.OpError
		if errors.As(err, &dial) && dial.Op == "dial" {
			lapse(50*time.Millisecond + rand.N(50*time.Millisecond)) // a crowd that hurries would slow the start
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
			if c.status == unknown { // it may have been carried out, as without an answer
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

// decodeAnswer reads an answer, which is whole or has not come.
func decodeAnswer(res *http.Response, into any) error {
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	if err == nil {
		err = json.Unmarshal(body, into)
	}
	return err
}

// node picks one as a load balancer does that does not know which are there.
func (l *load) node() string { return l.urls[rand.IntN(len(l.urls))] }

// get fetches something that changes nothing.
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

// search looks verifications up, those whose ids somebody knows.
func (l *load) search(ids ...string) ([]found, error) {
	var answer struct {
		List   []found `json:"verification_requests"`
		Status string
		Text   string `json:"error_text"`
	}
	err := l.get("/verify/search/json", url.Values{"api_key": {apiKey}, "api_secret": {apiSecret}, "request_ids": ids}, &answer)
	if err == nil && answer.Status != "" && answer.Status != "101" { // 101: none of them
		err = fmt.Errorf("search: status %s %s", answer.Status, answer.Text)
	}
	return answer.List, err
}

// collect gathers what the program tells when all is over: the phone's journal,
// and what search says of each verification that a client or the phone knows.
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

// inParallel does something to all items, n at a time.
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
