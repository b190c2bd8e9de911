package e2e

import (
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"
)

// The judge of TestCrash. It is given what was seen from outside while the
// program was killed again and again, and what is there at the end, and says
// what of it must not be. It knows the rules from their description and shares
// no code with the program.

// evidence is what there is to judge.
type evidence struct {
	plans   map[string]plan      // of the verifications of each number
	calls   []call               // the clients' journal
	phone   map[string][]message // the phone's journal: each number's messages, oldest first
	found   map[string]found     // what search says in the end, by request id
	books   books                // what lies in the database in the end
	outages []outage             // in the order of time

	// lease is how long a node that has died holds what it was at, where there are
	// several on one database; 0 where there is one.
	lease time.Duration
}

// plan is what a number's verifications are to do, with all times as fast as
// they are to be.
type plan struct {
	params   map[string]string // of the request
	channels []string
	waits    []time.Duration
	pinLife  time.Duration
	minute   time.Duration // of the plan
	price    int64         // in units of 10⁻⁸
}

// call is a request that a client has sent to the API.
type call struct {
	verb     string // start, check, cancel or trigger
	number   string
	request  string // the request id: that of the answer for a start
	code     string // of a check
	sent     time.Time
	answered time.Time // when the answer had come, or the connection had broken
	status   string    // "" without an answer: it may have been carried out or not
	text     string    // of a refusal
}

// found is a verification as search shows it.
type found struct {
	RequestID string `json:"request_id"`
	Number    string
	Status    string
	Price     string
	Checks    []struct{ Code, Status string }
	Events    []struct{ ID, Type string }
}

// books is the content of the database.
type books struct {
	verifications map[string]*record // by request id
	ledger        []entry            // of the account
	balance       int64              // of the account
	integrity     string             // what SQLite says of the file
}

type record struct {
	id        string
	number    string
	status    string
	price     int64
	finalized time.Time // zero while in progress
	secret    bool      // the PIN is still there
	refunded  bool      // says the ledger
	events    []event   // in their order
	checks    []checked // in their order
}

type event struct {
	id         string
	channel    string
	generation int
	state      string
	attempt    int
	started    time.Time
}

type checked struct {
	generation int
	valid      bool
}

type entry struct {
	key    string
	kind   string
	amount int64
}

// outage is one kill and the time until the program was there again.
type outage struct {
	died     time.Time
	back     time.Time       // when a run answered that lived long enough to do so
	inFlight map[string]bool // the events whose outcome was not recorded
	dark     bool            // the database was away: nobody could look
}

const (
	// crashGrace is how late something may be that is to happen at a certain time,
	// not counting the time when the program was down. It is the time that a
	// backlog may take, on a machine that has other things to do.
	crashGrace = 10 * time.Second
	// skipGrace is how long after a restart a verification may come to its end
	// without the steps that it missed. It is more when other steps were later.
	skipGrace = time.Second
	// lastWords is how long after the end of a verification a message may still
	// arrive that was on its way.
	lastWords = time.Second
	// tick is what the times of the journals and of the database may differ by:
	// the program keeps whole milliseconds.
	tick = 2 * time.Millisecond

	// backdate is how long after its time in the books a step may have been taken: one
	// that is a little late is dated at the time when it was due.
	backdate = 500 * time.Millisecond
	// soon is the time after its event within which a message is as good as sent at once.
	soon = 2 * time.Second

	triesPerPIN   = 3
	copiesOfEvent = 2
)

// fault is something that must not be.
type fault struct{ rule, detail string }

func (f fault) String() string { return f.rule + ": " + f.detail }

// verdict is what the judge says.
type verdict struct {
	faults []fault

	accepted   int // verifications that a client was told of
	unanswered int // verifications that exist though no client was told
	void       int // starts without an answer of which nothing exists
	checks     int // answered
	successes  int // answered
	controls   int // cancels and triggers, carried out and answered
	ended      map[string]int
	messages   int
	duplicates int
	inFlight   int // events at the kills: the most that may be duplicated
	givenUp    int // events whose both attempts fell victim to a kill
	overtaken  int // events not sent again since it was too late for them

	// skipped are the verifications that ended without some of their steps, with
	// the time in which the program could have taken the next one.
	skipped map[string]time.Duration

	worstDelay time.Duration
}

// count is how many faults there are of the given rules.
func (v *verdict) count(rules ...string) int {
	n := 0
	for _, f := range v.faults {
		if slices.Contains(rules, f.rule) {
			n++
		}
	}
	return n
}

func (v *verdict) String() string {
	return fmt.Sprintf("%d verifications accepted, %d more carried out without an answer, %d starts without either; "+
		"ended %v; %d checks answered, %d of them right, %d controls; "+
		"%d messages, %d duplicates of %d in flight, %d given up after two tries, %d overtaken, %d steps skipped; latest step %v late; "+
		"lost: %d verifications, %d messages, %d charges; doubled: %d charges, %d successes; faults in all: %d",
		v.accepted, v.unanswered, v.void,
		v.ended, v.checks, v.successes, v.controls,
		v.messages, v.duplicates, v.inFlight, v.givenUp, v.overtaken, len(v.skipped), v.worstDelay.Round(time.Millisecond),
		v.count("lost verification"), v.count("lost message"), v.count("lost charge"),
		v.count("doubled charge"), v.count("second success"), len(v.faults))
}

// inquiry is the judge at work.
type inquiry struct {
	evidence
	verdict
	doubled map[[2]string]bool // verification and outage of the duplicates so far
	steps   []time.Time        // see takeSteps
}

func judge(e evidence) *verdict {
	q := &inquiry{evidence: e, verdict: verdict{ended: map[string]int{}, skipped: map[string]time.Duration{}}, doubled: map[[2]string]bool{}}
	q.judgeFile()
	q.judgeMoney()
	q.judgeAnswers()
	q.judgeStarts()
	q.judgeTwins()
	q.judgeStrays()
	inFlight := map[string]bool{} // not counted again when the next kill finds them still
	for _, o := range e.outages {
		maps.Copy(inFlight, o.inFlight)
	}
	q.inFlight = len(inFlight)
	of := map[string][]call{}
	for _, c := range e.calls {
		if c.verb != "start" {
			of[c.request] = append(of[c.request], c)
		}
	}
	q.takeSteps(of)
	for _, r := range e.books.verifications {
		if len(r.events) == 0 {
			q.fault("half a verification", "%s of %s has no event", r.id, r.number)
			continue
		}
		q.judgeCase(r, of[r.id])
	}
	for missed, left := range q.skipped {
		if left > max(skipGrace, q.worstDelay) {
			q.fault("skipped step", "%s, with %v to take the next", missed, left)
		}
	}
	if q.duplicates > q.inFlight {
		q.fault("too many copies", "%d, and %d were in flight", q.duplicates, q.inFlight)
	}
	return &q.verdict
}

func (q *inquiry) fault(rule, format string, args ...any) {
	q.faults = append(q.faults, fault{rule, fmt.Sprintf(format, args...)})
}

func (q *inquiry) judgeFile() {
	if q.books.integrity != "ok" {
		q.fault("damaged file", "%s", q.books.integrity)
	}
}

// judgeMoney: each verification is charged once, its price, which is given back once
// and only where nothing of it ever left; and the balance is what that leaves.
func (q *inquiry) judgeMoney() {
	const credit = 1000 * 1e8 // of a new demonstration
	charges := map[string]int{}
	var sum, topUps int64
	for _, e := range q.books.ledger {
		sum += e.amount
		if e.kind == "refund" {
			q.judgeRefund(e)
			continue
		}
		if e.kind != "charge" {
			topUps += e.amount
			continue
		}
		id, _, _ := strings.Cut(strings.TrimPrefix(e.key, "charge/"), "/")
		charges[id]++
		r, ok := q.books.verifications[id]
		switch {
		case !ok:
			q.fault("charge for nothing", "%s", e.key)
		case e.amount != -r.price:
			q.fault("wrong charge", "%s is %d, the price %d", e.key, e.amount, r.price)
		}
		if charges[id] > 1 {
			q.fault("doubled charge", "%s", e.key)
		}
	}
	for id := range q.books.verifications {
		if charges[id] == 0 {
			q.fault("lost charge", "of %s", id)
		}
	}
	if topUps != credit {
		q.fault("wrong balance", "topped up by %d, want %d", topUps, int64(credit))
	}
	if q.books.balance != sum {
		q.fault("wrong balance", "%d, and the ledger says %d", q.books.balance, sum)
	}
}

// judgeRefund: a price is given back once, of what is over without a success, and of
// which no carrier ever had a message.
func (q *inquiry) judgeRefund(e entry) {
	r, ok := q.books.verifications[strings.TrimPrefix(e.key, "refund/")]
	switch {
	case !ok:
		q.fault("refund for nothing", "%s", e.key)
		return
	case r.refunded:
		q.fault("doubled refund", "%s", e.key)
	case e.amount != r.price:
		q.fault("wrong refund", "%s is %d, the price %d", e.key, e.amount, r.price)
	case r.finalized.IsZero() || r.status == "SUCCESS":
		q.fault("refund too early", "%s of one that is %s", e.key, r.status)
	}
	r.refunded = true
	for _, ev := range r.events {
		if ev.attempt != 1 || ev.state != "refused" && ev.state != "expired" {
			q.fault("refund of what was sent", "%s: event %s is %s at attempt %d", e.key, ev.id, ev.state, ev.attempt)
		}
	}
}

// judgeAnswers: no call is answered in a way that its client cannot expect.
func (q *inquiry) judgeAnswers() {
	expected := map[string][]string{
		"start":   {"0", "10"},
		"check":   {"0", "6", "16", "17"},
		"cancel":  {"0", "6", "19"},
		"trigger": {"0", "6", "19"},
	}
	for _, c := range q.calls {
		if c.status != "" && !slices.Contains(expected[c.verb], c.status) {
			q.fault("unexpected answer", "%s of %s %s: %s %s", c.verb, c.number, c.request, c.status, c.text)
		}
	}
}

// judgeStarts: what a client was told of exists, and of what it was not told
// either all or nothing.
func (q *inquiry) judgeStarts() {
	told := map[string]bool{}
	open := map[string]int{} // starts without an answer, by number
	for _, c := range q.calls {
		if c.verb != "start" {
			continue
		}
		switch {
		case c.status == "":
			open[c.number]++
		case c.request != "" && !told[c.request]:
			told[c.request] = true
			q.accepted++
			r, ok := q.books.verifications[c.request]
			if !ok || r.number != c.number {
				q.fault("lost verification", "%s of %s, answered with status %s", c.request, c.number, c.status)
			}
		}
	}
	for id, r := range q.books.verifications {
		if !told[id] {
			q.unanswered++
			open[r.number]--
			if open[r.number] < 0 {
				q.fault("verification out of nothing", "%s of %s", id, r.number)
			}
		}
	}
	for _, n := range open {
		q.void += max(n, 0)
	}
	for id := range told {
		r := q.books.verifications[id]
		f, ok := q.found[id]
		switch {
		case !ok:
			q.fault("lost verification", "search does not find %s", id)
		case r != nil && f.Status != r.status:
			q.fault("search differs", "%s is %s, search says %s", id, r.status, f.Status)
		}
	}
}

// judgeTwins: of a number no verification begins before the one before is over.
func (q *inquiry) judgeTwins() {
	of := map[string][]*record{}
	for _, r := range q.books.verifications {
		if len(r.events) > 0 {
			of[r.number] = append(of[r.number], r)
		}
	}
	for number, rs := range of {
		slices.SortFunc(rs, func(a, b *record) int { return a.events[0].started.Compare(b.events[0].started) })
		for i, r := range rs[1:] {
			if before := rs[i]; before.finalized.IsZero() || r.events[0].started.Before(before.finalized.Add(-tick)) {
				q.fault("two at once", "%s and %s of %s", before.id, r.id, number)
			}
		}
	}
}

// judgeStrays: each message belongs to an event of a verification of its number.
func (q *inquiry) judgeStrays() {
	for number, messages := range q.phone {
		for _, m := range messages {
			q.messages++
			r := q.books.verifications[m.RequestID]
			if r == nil || r.number != number || m.Number != number ||
				!slices.ContainsFunc(r.events, func(e event) bool { return e.id == m.EventID && e.channel == m.Channel }) {
				q.fault("stray message", "event %s of %s for %s", m.EventID, m.RequestID, number)
			}
		}
	}
}

// generation is one PIN of a verification, as the phone has shown it.
type generation struct {
	pin     string    // "" when no message came
	from    time.Time // when it was made
	until   time.Time // when it died
	guesses int
}

// trial is one verification under judgement.
type trial struct {
	*inquiry
	*record
	plan        plan
	calls       []call
	copies      map[string][]message // by event
	generations map[int]*generation
	end         time.Time // when it was over
}

func (q *inquiry) judgeCase(r *record, calls []call) {
	t := &trial{inquiry: q, record: r, plan: q.plans[r.number], calls: calls, copies: map[string][]message{}, generations: map[int]*generation{}}
	for _, m := range q.phone[r.number] {
		if m.RequestID == r.id {
			t.copies[m.EventID] = append(t.copies[m.EventID], m)
		}
	}
	q.ended[r.status]++
	t.judgeEvents()
	t.judgePINs()
	t.judgeEnd()
	t.judgeMessages()
	t.judgeChecks()
	t.judgeControls()
	t.judgeSearch()
}

func (t *trial) blame(rule, format string, args ...any) {
	t.fault(rule, "%s of %s (%s): %s", t.id, t.number, t.status, fmt.Sprintf(format, args...))
}

// judgeEvents: the steps of the plan are taken, in their order, each in its
// time: not early unless a client has asked for it, and not late.
func (t *trial) judgeEvents() {
	if len(t.events) > len(t.plan.channels) {
		t.blame("too many events", "%d", len(t.events))
		t.events = t.events[:len(t.plan.channels)]
	}
	for seq, e := range t.events {
		if e.channel != t.plan.channels[seq] {
			t.blame("wrong channel", "event %d is %s", seq, e.channel)
		}
		if seq == 0 {
			continue
		}
		due := t.events[seq-1].started.Add(t.plan.waits[seq-1])
		if e.started.Before(due) && !t.triggered(e.started) {
			t.blame("early step", "event %d at %v, due at %v", seq, e.started, due)
		}
		t.late(fmt.Sprintf("event %d", seq), due, e.started)
	}
}

// triggered reports whether a client may have caused an event.
func (t *trial) triggered(at time.Time) bool {
	return slices.ContainsFunc(t.calls, func(c call) bool { return c.verb == "trigger" && c.may(at) })
}

// may reports whether the call may have been carried out at a time. A call whose
// connection broke may have been carried out a little after that was seen.
func (c call) may(at time.Time) bool {
	until := c.answered.Add(tick)
	if c.status == "" {
		until = until.Add(lastWords)
	}
	return !at.Before(c.sent.Add(-tick)) && !at.After(until)
}

// late blames what happened too long after it was due, not counting the time
// when the program was down.
func (t *trial) late(what string, due, at time.Time) {
	delay := at.Sub(due) - t.down(due, at)
	t.worstDelay = max(t.worstDelay, delay)
	if delay > crashGrace {
		t.blame("late step", "%s at %v, due at %v", what, at, due)
	}
}

// down is how long the program was down between two moments.
func (q *inquiry) down(from, to time.Time) time.Duration {
	var sum time.Duration
	for _, o := range q.outages {
		begin, end := o.died, o.back
		if begin.Before(from) {
			begin = from // the part before was counted, or is before all
		}
		if end.After(to) {
			end = to
		}
		if end.After(begin) {
			sum += end.Sub(begin)
			from = end
		}
	}
	return sum
}

// judgePINs: all messages of a generation say the same PIN, and a new one is
// made when, and only when, the one before has less than a minute to live.
func (t *trial) judgePINs() {
	for seq, e := range t.events {
		g := t.generations[e.generation]
		if g == nil {
			if before := t.generations[e.generation-1]; before != nil && before.until.Sub(e.started) >= t.plan.minute {
				t.blame("new PIN too early", "event %d at %v, the PIN lives until %v", seq, e.started, before.until)
			}
			g = &generation{from: e.started, until: e.started.Add(t.plan.pinLife)}
			t.generations[e.generation] = g
		} else if !e.started.Before(g.until) {
			t.blame("dead PIN sent", "event %d at %v, the PIN died at %v", seq, e.started, g.until)
		} else if g.until.Sub(e.started) < t.plan.minute {
			t.blame("stale PIN sent", "event %d at %v, the PIN dies at %v", seq, e.started, g.until)
		}
		for _, m := range t.copies[e.id] {
			pin := m.saysPIN()
			if g.pin == "" {
				g.pin = pin
			}
			if pin == "" || pin != g.pin {
				t.blame("different PIN", "event %d says %q, another message %q", seq, m.Text, g.pin)
			}
			t.judgeLifetime(seq, e, g, m)
		}
	}
}

// judgeLifetime: a message states the whole minutes left to its PIN, and at least 1: at
// its event if it arrives soon after, else some time between its event and its arrival.
func (t *trial) judgeLifetime(seq int, e event, g *generation, m message) {
	minutes := func(at time.Time) int { return max(1, int(g.until.Sub(at)/t.plan.minute)) }
	most, least := minutes(e.started.Add(-tick)), minutes(e.started)
	if m.SentAt.Sub(e.started) > soon {
		least = minutes(m.SentAt.Add(tick))
	}
	if stated := m.saysMinutes(); stated < least || stated > most {
		t.blame("wrong lifetime", "event %d at %v, sent at %v, says %q, the PIN dies at %v", seq, e.started, m.SentAt, m.Text, g.until)
	}
}

// saysMinutes is the lifetime that a message states; 0 for none.
func (m message) saysMinutes() int {
	found := statedMinutes.FindStringSubmatch(m.Text)
	if found == nil {
		return 0
	}
	n, _ := strconv.Atoi(found[1])
	return n
}

var statedMinutes = regexp.MustCompile(`(\d+) minutes?\b`)

// saysPIN is pin for a message that may have none.
func (m message) saysPIN() string {
	if m.Channel == "tts" {
		return strings.ReplaceAll(spokenPIN.FindString(m.Text), ", ", "")
	}
	return writtenPIN.FindString(m.Text)
}

// judgeEnd: every verification ends, in time, and keeps no secret.
func (t *trial) judgeEnd() {
	if !slices.Contains([]string{"SUCCESS", "FAILED", "EXPIRED", "CANCELLED"}, t.status) || t.finalized.IsZero() {
		t.end = time.Now().Add(time.Hour)
		t.blame("never ends", "after %d events", len(t.events))
		return
	}
	if t.secret {
		t.blame("secret kept", "the PIN is still there")
	}
	t.end = t.finalized
	planned := t.planned()
	if t.status != "EXPIRED" {
		if t.end.After(planned.Add(tick)) {
			t.blame("acted on after the end", "at %v, it ended at %v", t.end, planned)
		}
		return
	}
	if t.end.Before(planned.Add(-tick)) {
		t.blame("early end", "at %v, planned for %v", t.end, planned)
	}
	t.late("the end", planned, t.end)
	t.end = planned // from then on nothing can be done with it
	if n := len(t.events); n < len(t.plan.channels) {
		due := t.events[n-1].started.Add(t.plan.waits[n-1])
		missed := fmt.Sprintf("%s of %s expired after %d of %d events", t.id, t.number, n, len(t.plan.channels))
		t.skipped[missed] = planned.Sub(due) - t.down(due, planned)
	}
}

// planned is when the verification ends if nothing else happens.
func (t *trial) planned() time.Time {
	n := len(t.events)
	end := t.events[n-1].started
	for seq := n - 1; seq < len(t.plan.waits); seq++ {
		end = end.Add(t.plan.waits[seq])
	}
	if died := t.generations[t.events[n-1].generation].until; died.After(end) {
		return died
	}
	return end
}

// judgeMessages: every event arrives, once, or once more for a crash that hid
// its outcome; nothing arrives when all is over.
func (t *trial) judgeMessages() {
	for seq, e := range t.events {
		copies := t.copies[e.id]
		if len(copies) == 0 {
			t.judgeMissing(seq, e)
		}
		if len(copies) > copiesOfEvent {
			t.blame("third copy", "event %d came %d times", seq, len(copies))
		}
		for i, m := range copies {
			if m.SentAt.Before(e.started.Add(-tick)) {
				t.blame("sent before it was committed", "event %d", seq)
			}
			if m.SentAt.After(t.end.Add(lastWords)) && !t.slept(e, m.SentAt) {
				t.blame("sent after the end", "event %d at %v, ended at %v", seq, m.SentAt, t.end)
			}
			if i > 0 {
				t.judgeDuplicate(seq, e, copies[i-1].SentAt, m.SentAt)
			}
		}
	}
}

// slept reports whether a message is that of a node which stood still, and has sent it
// when it went on.
func (t *trial) slept(e event, sent time.Time) bool {
	return t.lease > 0 && slices.ContainsFunc(t.outages, func(o outage) bool {
		return o.inFlight[e.id] && !sent.Before(o.died) && sent.Before(o.back.Add(lastWords))
	})
}

func (t *trial) judgeDuplicate(seq int, e event, first, second time.Time) {
	t.duplicates++
	if t.lease > 0 { // the copies may come of two nodes, in any order
		if !slices.ContainsFunc(t.outages, func(o outage) bool { return o.inFlight[e.id] && !o.died.After(second.Add(tick)) }) {
			t.blame("copy without a crash", "event %d at %v and %v", seq, first, second)
		}
		return
	}
	// The last kill before the second copy is the one to blame.
	n := len(t.outages) - 1
	for n >= 0 && t.outages[n].died.After(second.Add(tick)) {
		n--
	}
	if n < 0 || t.outages[n].died.Before(first) || !t.outages[n].inFlight[e.id] {
		t.blame("copy without a crash", "event %d at %v and %v", seq, first, second)
		return
	}
	pair := [2]string{t.id, t.outages[n].died.String()}
	if t.doubled[pair] {
		t.blame("two copies for one crash", "event %d", seq)
	}
	t.doubled[pair] = true
}

// judgeMissing accepts a missing event whose outcome a crash lost, if it was too late to send
// it again when the next life settled it, or if a second crash lost the second attempt.
func (t *trial) judgeMissing(seq int, e event) {
	hits := 0
	for _, o := range t.outages {
		if o.inFlight[e.id] {
			hits++
		}
	}
	if hits >= copiesOfEvent && e.attempt == copiesOfEvent {
		t.givenUp++
		return
	}
	for i, o := range t.outages {
		step := t.steps[i]
		if step.IsZero() && i+1 < len(t.outages) && !t.outages[i+1].inFlight[e.id] {
			step = t.outages[i+1].died // settled in a life too short for an ordinary step
		}
		if !o.inFlight[e.id] || step.IsZero() {
			continue // not settled in the life after this outage
		}
		step = step.Add(tick)
		if !t.end.After(step) || // it was over,
			!t.generations[e.generation].until.After(step) || // or its PIN was dead,
			!e.started.Add(t.plan.waits[seq]).After(step) && t.plan.waits[seq] > 0 || // or the next one was due,
			seq+1 < len(t.events) && !t.events[seq+1].started.After(step) { // or had been triggered
			t.overtaken++
			return
		}
		break
	}
	where := ""
	for i, o := range t.outages {
		if o.inFlight[e.id] {
			where += fmt.Sprintf("; died %s, back %s, first step %s", o.died.Format(wallTime), o.back.Format(wallTime), t.steps[i].Format(wallTime))
		}
	}
	t.blame("lost message", "event %d (%s, attempt %d, %s) started at %s, over at %s, in flight at %d kills%s",
		seq, e.channel, e.attempt, e.state, e.started.Format(wallTime), t.end.Format(wallTime), hits, where)
}

// wallTime is how moments are written that lie within one run.
const wallTime = "15:04:05.000"

// takeSteps finds out when, after each outage, the program has taken the first
// step that fell due in the ordinary way. What the crash left behind is due at
// once, before any of these; or, where another node may be at it, when its lease is
// over.
func (q *inquiry) takeSteps(calls map[string][]call) {
	q.steps = make([]time.Time, len(q.outages))
	if q.lease > 0 {
		for i, o := range q.outages {
			q.steps[i] = o.back.Add(q.lease)
		}
		return
	}
	for _, r := range q.books.verifications {
		if slices.ContainsFunc(calls[r.id], func(c call) bool { return c.verb == "trigger" }) {
			continue
		}
		for seq, e := range r.events {
			i, _ := slices.BinarySearchFunc(q.outages, e.started, func(o outage, at time.Time) int { return o.died.Compare(at) })
			i--
			if seq == 0 || i < 0 || q.outages[i].inFlight[r.events[seq-1].id] {
				continue
			}
			if taken := q.taken(r.number, e); q.steps[i].IsZero() || taken.Before(q.steps[i]) {
				q.steps[i] = taken
			}
		}
	}
}

// taken is when a step was taken at the latest: by the time of its message, and no
// later than backdate after the time in the books.
func (q *inquiry) taken(number string, e event) time.Time {
	at := e.started.Add(backdate)
	for _, m := range q.phone[number] {
		if m.EventID == e.id && m.SentAt.Before(at) {
			at = m.SentAt
		}
	}
	return at
}

// judgeChecks: a code is accepted once, and only the right one while it lives;
// nobody gets more guesses than three for a PIN; what was answered stays true.
func (t *trial) judgeChecks() {
	valid, recordedWrong := 0, 0
	for _, c := range t.checks {
		if c.valid {
			valid++
		} else {
			recordedWrong++
		}
		if g := t.generations[c.generation]; g != nil {
			g.guesses++
			if g.guesses > triesPerPIN {
				t.blame("too many guesses", "%d for generation %d", g.guesses, c.generation)
			}
		}
	}
	if want := t.status == "SUCCESS"; valid > 1 || (valid == 1) != want {
		t.blame("second success", "%d valid checks are recorded", valid)
	}
	sent, accepted, wrong := 0, 0, 0
	for _, c := range t.calls {
		if c.verb != "check" {
			continue
		}
		sent++
		if c.status != "" {
			t.verdict.checks++
		}
		switch c.status {
		case "0":
			accepted++
			t.successes++
			t.judgeAccepted(c)
		case "16", "17":
			wrong++
			t.judgeRefused(c)
		case "6":
			t.judgeGone(c)
		}
	}
	if accepted > 1 {
		t.blame("second success", "%d checks were answered with success", accepted)
	}
	if recordedWrong < wrong {
		t.blame("forgotten check", "%d wrong codes were refused, %d are recorded", wrong, recordedWrong)
	}
	if len(t.checks) > sent {
		t.blame("check out of nothing", "%d are recorded, %d were sent", len(t.checks), sent)
	}
}

func (t *trial) judgeAccepted(c call) {
	if t.status != "SUCCESS" {
		t.blame("forgotten success", "answered at %v", c.answered)
	}
	for n, g := range t.generations {
		next := t.generations[n+1]
		if g.pin == c.code && !g.from.After(c.answered.Add(tick)) && g.until.After(c.sent.Add(-tick)) &&
			(next == nil || !next.from.Before(c.sent.Add(-tick))) {
			return
		}
	}
	t.blame("wrong code accepted", "%q at %v", c.code, c.answered)
}

func (t *trial) judgeRefused(c call) {
	if c.status == "17" && t.status != "FAILED" {
		t.blame("forgotten failure", "answered at %v", c.answered)
	}
	for n, g := range t.generations {
		next := t.generations[n+1]
		if g.pin == c.code && !g.from.After(c.sent.Add(-tick)) && g.until.After(c.answered.Add(tick)) &&
			(next == nil || next.from.After(c.answered.Add(tick))) {
			t.blame("right code refused", "%q with status %s at %v", c.code, c.status, c.answered)
		}
	}
}

// judgeGone: a call is told that the verification is over only if it is.
func (t *trial) judgeGone(c call) {
	if t.end.After(c.answered.Add(tick)) {
		t.blame("gone before the end", "%s at %v, ended at %v", c.verb, c.answered, t.end)
	}
}

// judgeControls: a command that was carried out stays so.
func (t *trial) judgeControls() {
	var taken []bool // events that a trigger answers for
	for range t.events {
		taken = append(taken, false)
	}
	for _, c := range t.calls {
		if c.verb == "check" {
			continue
		}
		if c.status == "6" {
			t.judgeGone(c)
		}
		if c.status != "0" {
			continue
		}
		t.controls++
		if c.verb == "cancel" && t.status != "CANCELLED" {
			t.blame("forgotten cancel", "answered at %v", c.answered)
		}
		if c.verb == "trigger" {
			seq := slices.IndexFunc(t.events, func(e event) bool { return c.may(e.started) })
			for seq >= 0 && seq < len(t.events) && (seq == 0 || taken[seq]) {
				seq++
			}
			if seq < 0 || seq == len(t.events) || !c.may(t.events[seq].started) {
				t.blame("forgotten trigger", "answered at %v", c.answered)
			} else {
				taken[seq] = true
			}
		}
	}
}

// judgeSearch: the answer of search is complete, and says what the books say.
func (t *trial) judgeSearch() {
	f, ok := t.found[t.id]
	if !ok {
		return // nobody knows its id, or judgeStarts has blamed that
	}
	want := fmt.Sprintf("%d.%08d", t.plan.price/1e8, t.plan.price%1e8)
	if t.refunded {
		want = "0"
	}
	if f.Price != want || t.price != t.plan.price {
		t.blame("wrong price", "search says %s, want %s", f.Price, want)
	}
	if f.Number != t.number || len(f.Events) != len(t.events) || len(f.Checks) != len(t.checks) {
		t.blame("search differs", "%+v", f)
		return
	}
	refused := map[string]int{}
	for i, c := range f.Checks {
		if (c.Status == "VALID") != t.checks[i].valid {
			t.blame("search differs", "check %d is %s", i, c.Status)
		}
		if c.Status == "INVALID" {
			refused[c.Code]++
		}
	}
	for _, c := range t.calls {
		if c.verb == "check" && (c.status == "16" || c.status == "17") {
			refused[c.code]--
			if refused[c.code] < 0 {
				t.blame("forgotten check", "of %q at %v", c.code, c.answered)
			}
		}
	}
	for i, e := range f.Events {
		if e.ID != t.events[i].id || e.Type != t.events[i].channel {
			t.blame("search differs", "event %d is %s %s", i, e.Type, e.ID)
		}
	}
}
