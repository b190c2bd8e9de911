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

// The judge of TestCrash compares the observations of clients while the program was killed, and
// the state at the end, with the rules. The rules come from their description; the judge shares
// no code with the program.

// evidence is the input of the judge.
type evidence struct {
	plans   map[string]plan      // plan by number
	calls   []call               // the clients' journal
	phone   map[string][]message // messages by number, oldest first: the phone's journal
	found   map[string]found     // answers of search at the end, by request id
	books   books                // content of the database at the end
	outages []outage             // oldest first

	// lease is the time for which a dead node holds its rows, if several nodes use one
	// database; 0 for a single node.
	lease time.Duration
}

// plan is the expected course of a number's verifications. All times are scaled by the speed
// of the program.
type plan struct {
	params   map[string]string // request parameters
	channels []string
	waits    []time.Duration
	pinLife  time.Duration
	minute   time.Duration // a scaled minute
	price    int64         // in units of 10⁻⁸
}

// call is a request of a client to the API.
type call struct {
	verb     string // start, check, cancel or trigger
	number   string
	request  string // request id; of a start, the id in its answer
	code     string // code of a check, else ""
	sent     time.Time
	answered time.Time // time of the answer, or of the lost connection
	status   string    // "" without an answer: the call may have taken effect or not
	text     string    // error text of a refusal
}

// found is a verification in an answer of search.
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
	ledger        []entry            // entries of the account
	balance       int64              // balance of the account
	integrity     string             // result of SQLite's integrity check
}

type record struct {
	id        string
	number    string
	status    string
	price     int64
	finalized time.Time // zero while in progress
	secret    bool      // a PIN is still stored
	refunded  bool      // set by judgeRefund
	events    []event   // in order
	checks    []checked // in order
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

// outage is one kill and the time until the program had restarted.
type outage struct {
	died     time.Time
	back     time.Time       // first answer of a run that survived until it answered
	inFlight map[string]bool // events without a recorded outcome
	dark     bool            // the database was unavailable and could not be read
}

const (
	// crashGrace is the maximum delay of a step or an end, without the time when the program was
	// down. A backlog can take this long on a busy machine.
	crashGrace = 10 * time.Second
	// skipGrace is the time after a restart in which a verification may end without its missed
	// steps. The limit is higher if other steps were later.
	skipGrace = time.Second
	// lastWords is the time after the end of a verification in which a message in flight may
	// still arrive.
	lastWords = time.Second
	// tick is the tolerance between times of the journals and of the database, which has whole
	// milliseconds.
	tick = 2 * time.Millisecond

	// backdate is the maximum time between the recorded and the real time of a step: a slightly
	// late step is recorded with its due time.
	backdate = 500 * time.Millisecond
	// soon is the maximum time between an event and a message without delay.
	soon = 2 * time.Second

	triesPerPIN   = 3
	copiesOfEvent = 2
)

// fault is a violation of a rule.
type fault struct{ rule, detail string }

func (f fault) String() string { return f.rule + ": " + f.detail }

// verdict is the result of the judge.
type verdict struct {
	faults []fault

	accepted   int // verifications whose id a client received
	unanswered int // existing verifications whose id no client received
	void       int // starts without an answer and without a verification
	checks     int // answered checks
	successes  int // checks answered with success
	controls   int // cancels and triggers answered with success
	ended      map[string]int
	messages   int
	duplicates int
	inFlight   int // events in flight at the kills: the maximum of duplicates
	givenUp    int // events whose two attempts were both lost in kills
	overtaken  int // events not resent because it was too late

	// skipped has the verifications that ended without some of their steps, with the time in
	// which the program could have run the next step.
	skipped map[string]time.Duration

	worstDelay time.Duration
}

// count returns the number of faults of the given rules.
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

// inquiry is the state of the judge.
type inquiry struct {
	evidence
	verdict
	doubled map[[2]string]bool // verification and outage of each duplicate
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
	inFlight := map[string]bool{} // events, each counted once even if several kills find it
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
			q.fault("half a verification", "%s for %s has no event", r.id, r.number)
			continue
		}
		q.judgeCase(r, of[r.id])
	}
	for missed, left := range q.skipped {
		if left > max(skipGrace, q.worstDelay) {
			q.fault("skipped step", "%s, with %v for the next step", missed, left)
		}
	}
	if q.duplicates > q.inFlight {
		q.fault("too many copies", "%d copies, but only %d events were in flight", q.duplicates, q.inFlight)
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

// judgeMoney checks that each verification is charged its price once, that refunds are valid (see
// judgeRefund), and that the balance equals the sum of the ledger.
func (q *inquiry) judgeMoney() {
	const credit = 1000 * 1e8 // initial credit of a demonstration
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
			q.fault("lost charge", "%s has no charge", id)
		}
	}
	if topUps != credit {
		q.fault("wrong balance", "topped up by %d, want %d", topUps, int64(credit))
	}
	if q.books.balance != sum {
		q.fault("wrong balance", "%d, but ledger entries sum to %d", q.books.balance, sum)
	}
}

// judgeRefund checks that a price is refunded once, after an end without success, and only if
// no carrier ever had a message of the verification.
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
		q.fault("refund too early", "%s of a verification with status %s", e.key, r.status)
	}
	r.refunded = true
	for _, ev := range r.events {
		if ev.attempt != 1 || ev.state != "refused" && ev.state != "expired" {
			q.fault("refund of what was sent", "%s: event %s is %s at attempt %d", e.key, ev.id, ev.state, ev.attempt)
		}
	}
}

// judgeAnswers checks that each answer has an expected status.
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

// judgeStarts checks that each id that a client received exists and is found by search, and that
// every other verification belongs to a start without an answer.
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
				q.fault("lost verification", "%s for %s, answered with status %s", c.request, c.number, c.status)
			}
		}
	}
	for id, r := range q.books.verifications {
		if !told[id] {
			q.unanswered++
			open[r.number]--
			if open[r.number] < 0 {
				q.fault("verification out of nothing", "%s for %s without a start", id, r.number)
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
			q.fault("search differs", "%s is %s, search has %s", id, r.status, f.Status)
		}
	}
}

// judgeTwins checks that no verification of a number begins before the previous one has ended.
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
				q.fault("two at once", "%s and %s for %s", before.id, r.id, number)
			}
		}
	}
}

// judgeStrays checks that each message belongs to an event of a verification of its number.
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

// generation is one PIN of a verification, as received by the phone.
type generation struct {
	pin     string    // "" if no message arrived
	from    time.Time // time of creation
	until   time.Time // time of expiry
	guesses int
}

// trial is the state of the judge for one verification.
type trial struct {
	*inquiry
	*record
	plan        plan
	calls       []call
	copies      map[string][]message // messages by event id
	generations map[int]*generation
	end         time.Time // time after which no call may act on it
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

// judgeEvents checks that the steps of the plan ran in order and on time. Only a triggered step
// may be early.
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

// triggered reports whether a client may have triggered an event at this time.
func (t *trial) triggered(at time.Time) bool {
	return slices.ContainsFunc(t.calls, func(c call) bool { return c.verb == "trigger" && c.may(at) })
}

// may reports whether the call may have taken effect at a time. After a broken connection it may
// take effect up to lastWords later.
func (c call) may(at time.Time) bool {
	until := c.answered.Add(tick)
	if c.status == "" {
		until = until.Add(lastWords)
	}
	return !at.Before(c.sent.Add(-tick)) && !at.After(until)
}

// late reports a fault if at is more than crashGrace after due, without the time when the program
// was down.
func (t *trial) late(what string, due, at time.Time) {
	delay := at.Sub(due) - t.down(due, at)
	t.worstDelay = max(t.worstDelay, delay)
	if delay > crashGrace {
		t.blame("late step", "%s at %v, due at %v", what, at, due)
	}
}

// down returns the time that the program was down between two times.
func (q *inquiry) down(from, to time.Time) time.Duration {
	var sum time.Duration
	for _, o := range q.outages {
		begin, end := o.died, o.back
		if begin.Before(from) {
			begin = from // counted in the previous outage, or before the interval
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

// judgePINs checks that all messages of a generation have the same PIN. A new PIN must be made
// if and only if the previous one has less than a minute left.
func (t *trial) judgePINs() {
	for seq, e := range t.events {
		g := t.generations[e.generation]
		if g == nil {
			if before := t.generations[e.generation-1]; before != nil && before.until.Sub(e.started) >= t.plan.minute {
				t.blame("new PIN too early", "event %d at %v, the previous PIN expires at %v", seq, e.started, before.until)
			}
			g = &generation{from: e.started, until: e.started.Add(t.plan.pinLife)}
			t.generations[e.generation] = g
		} else if !e.started.Before(g.until) {
			t.blame("dead PIN sent", "event %d at %v, the PIN expired at %v", seq, e.started, g.until)
		} else if g.until.Sub(e.started) < t.plan.minute {
			t.blame("stale PIN sent", "event %d at %v, the PIN expires at %v", seq, e.started, g.until)
		}
		for _, m := range t.copies[e.id] {
			pin := m.saysPIN()
			if g.pin == "" {
				g.pin = pin
			}
			if pin == "" || pin != g.pin {
				t.blame("different PIN", "event %d has text %q, another message has PIN %q", seq, m.Text, g.pin)
			}
			t.judgeLifetime(seq, e, g, m)
		}
	}
}

// judgeLifetime checks that a message states the whole minutes left to its PIN, at least 1. They
// count from its event if it arrived soon, else from a time between event and arrival.
func (t *trial) judgeLifetime(seq int, e event, g *generation, m message) {
	minutes := func(at time.Time) int { return max(1, int(g.until.Sub(at)/t.plan.minute)) }
	most, least := minutes(e.started.Add(-tick)), minutes(e.started)
	if m.SentAt.Sub(e.started) > soon {
		least = minutes(m.SentAt.Add(tick))
	}
	if stated := m.saysMinutes(); stated < least || stated > most {
		t.blame("wrong lifetime", "event %d at %v, sent at %v, has text %q, the PIN expires at %v", seq, e.started, m.SentAt, m.Text, g.until)
	}
}

// saysMinutes returns the lifetime that a message states; 0 if it states none.
func (m message) saysMinutes() int {
	found := statedMinutes.FindStringSubmatch(m.Text)
	if found == nil {
		return 0
	}
	n, _ := strconv.Atoi(found[1])
	return n
}

var statedMinutes = regexp.MustCompile(`(\d+) minutes?\b`)

// saysPIN returns the PIN of a message; "" if it has none.
func (m message) saysPIN() string {
	if m.Channel == "tts" {
		return strings.ReplaceAll(spokenPIN.FindString(m.Text), ", ", "")
	}
	return writtenPIN.FindString(m.Text)
}

// judgeEnd checks that a verification ended, in time, and that its PIN was deleted.
func (t *trial) judgeEnd() {
	if !slices.Contains([]string{"SUCCESS", "FAILED", "EXPIRED", "CANCELLED"}, t.status) || t.finalized.IsZero() {
		t.end = time.Now().Add(time.Hour)
		t.blame("never ends", "after %d events", len(t.events))
		return
	}
	if t.secret {
		t.blame("secret kept", "the PIN is still stored")
	}
	t.end = t.finalized
	planned := t.planned()
	if t.status != "EXPIRED" {
		if t.end.After(planned.Add(tick)) {
			t.blame("acted on after the end", "at %v, the latest end is %v", t.end, planned)
		}
		return
	}
	if t.end.Before(planned.Add(-tick)) {
		t.blame("early end", "at %v, planned for %v", t.end, planned)
	}
	t.late("the end", planned, t.end)
	t.end = planned // no call may act on it after this time
	if n := len(t.events); n < len(t.plan.channels) {
		due := t.events[n-1].started.Add(t.plan.waits[n-1])
		missed := fmt.Sprintf("%s of %s expired after %d of %d events", t.id, t.number, n, len(t.plan.channels))
		t.skipped[missed] = planned.Sub(due) - t.down(due, planned)
	}
}

// planned returns the end of the verification if no further call acts on it.
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

// judgeMessages checks that every event arrives once, or twice after a crash that hid its
// outcome, and that no message arrives after the end.
func (t *trial) judgeMessages() {
	for seq, e := range t.events {
		copies := t.copies[e.id]
		if len(copies) == 0 {
			t.judgeMissing(seq, e)
		}
		if len(copies) > copiesOfEvent {
			t.blame("third copy", "event %d arrived %d times", seq, len(copies))
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

// slept reports whether a message may come from a paused node, which sent it when it
// continued.
func (t *trial) slept(e event, sent time.Time) bool {
	return t.lease > 0 && slices.ContainsFunc(t.outages, func(o outage) bool {
		return o.inFlight[e.id] && !sent.Before(o.died) && sent.Before(o.back.Add(lastWords))
	})
}

func (t *trial) judgeDuplicate(seq int, e event, first, second time.Time) {
	t.duplicates++
	if t.lease > 0 { // the copies may come from two nodes, in any order
		if !slices.ContainsFunc(t.outages, func(o outage) bool { return o.inFlight[e.id] && !o.died.After(second.Add(tick)) }) {
			t.blame("copy without a crash", "event %d at %v and %v", seq, first, second)
		}
		return
	}
	// The last kill before the second copy must be its cause.
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

// judgeMissing checks an event without a message. It accepts a loss in a crash if it was too late
// to resend when the restarted program recovered the event, or if a second crash lost the resend.
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
			step = t.outages[i+1].died // recovered in a run too short for a regular step
		}
		if !o.inFlight[e.id] || step.IsZero() {
			continue // not recovered in the run after this outage
		}
		step = step.Add(tick)
		if !t.end.After(step) || // the verification had ended,
			!t.generations[e.generation].until.After(step) || // or its PIN had expired,
			!e.started.Add(t.plan.waits[seq]).After(step) && t.plan.waits[seq] > 0 || // or the next event was due,
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
	t.blame("lost message", "event %d (%s, attempt %d, %s) started at %s, ended at %s, in flight at %d kills%s",
		seq, e.channel, e.attempt, e.state, e.started.Format(wallTime), t.end.Format(wallTime), hits, where)
}

// wallTime is the format of times within one run.
const wallTime = "15:04:05.000"

// takeSteps sets steps to the time of the first regular step after each outage. Recovery of
// interrupted events precedes it: they are due immediately or, with several nodes, when the
// lease expires.
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

// taken returns the latest time at which a step may have run: the time of its message, or
// backdate after its recorded time if that is earlier.
func (q *inquiry) taken(number string, e event) time.Time {
	at := e.started.Add(backdate)
	for _, m := range q.phone[number] {
		if m.EventID == e.id && m.SentAt.Before(at) {
			at = m.SentAt
		}
	}
	return at
}

// judgeChecks checks that only the right code is accepted, once and while it is valid. No PIN may
// get more than three guesses, and the answers must agree with the record.
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
		t.blame("second success", "%d valid checks are recorded for this status", valid)
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
		t.blame("forgotten check", "%d wrong codes were refused, but only %d are recorded", wrong, recordedWrong)
	}
	if len(t.checks) > sent {
		t.blame("check out of nothing", "%d are recorded, but only %d were sent", len(t.checks), sent)
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

// judgeGone checks that a call with status 6 came after the end of the verification.
func (t *trial) judgeGone(c call) {
	if t.end.After(c.answered.Add(tick)) {
		t.blame("gone before the end", "%s at %v, ended at %v", c.verb, c.answered, t.end)
	}
}

// judgeControls checks that each successful cancel and trigger has its effect in the record.
func (t *trial) judgeControls() {
	var taken []bool // events that belong to a trigger
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

// judgeSearch checks that the answer of search agrees with the database and the calls.
func (t *trial) judgeSearch() {
	f, ok := t.found[t.id]
	if !ok {
		return // its id is unknown, or judgeStarts has reported it
	}
	want := fmt.Sprintf("%d.%08d", t.plan.price/1e8, t.plan.price%1e8)
	if t.refunded {
		want = "0"
	}
	if f.Price != want || t.price != t.plan.price {
		t.blame("wrong price", "search has %s, want %s", f.Price, want)
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
				t.blame("forgotten check", "search does not show the refused code %q of %v", c.code, c.answered)
			}
		}
	}
	for i, e := range f.Events {
		if e.ID != t.events[i].id || e.Type != t.events[i].channel {
			t.blame("search differs", "event %d is %s %s", i, e.Type, e.ID)
		}
	}
}
