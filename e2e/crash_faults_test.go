package e2e

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"
)

// TestCrashJudge checks that the judge of TestCrash reports no fault in a sound run, and
// reports each fault that is planted in it.
func TestCrashJudge(t *testing.T) {
	t.Parallel()
	if v := judge(soundRun()); len(v.faults) > 0 {
		t.Errorf("faults in a sound run: %v", v.faults)
	}
	for _, tt := range []struct {
		name  string
		rule  string
		plant func(*evidence)
	}{
		{"file damaged", "damaged file", func(e *evidence) { e.books.integrity = "row 3 missing" }},

		{"accepted verification missing", "lost verification", func(e *evidence) { delete(e.books.verifications, "right") }},
		{"accepted verification not found", "lost verification", func(e *evidence) { delete(e.found, "right") }},
		{"verification without a request", "verification out of nothing", func(e *evidence) {
			e.calls = slices.DeleteFunc(e.calls, func(c call) bool { return c.number == "unanswered" })
		}},
		{"accepted in part", "half a verification", func(e *evidence) { e.of("unanswered").events = nil }},

		{"charged twice", "doubled charge", func(e *evidence) { e.charge("charge/right/again", -12050000) }},
		{"charged without a ledger entry", "wrong balance", func(e *evidence) { e.books.balance -= 12050000 }},
		{"refunded though sent", "refund of what was sent", func(e *evidence) { e.charge("refund/"+e.of("expired").id, 12050000) }},
		{"refunded though it succeeded", "refund too early", func(e *evidence) { e.charge("refund/"+e.of("right").id, 12050000) }},
		{"refunded for nothing", "refund for nothing", func(e *evidence) { e.charge("refund/nobody", 12050000) }},
		{"refunded twice", "doubled refund", func(e *evidence) {
			for range 2 {
				e.charge("refund/"+e.of("expired").id, 12050000)
			}
		}},
		{"refunded too much", "wrong refund", func(e *evidence) { e.charge("refund/"+e.of("expired").id, 12050001) }},
		{"not charged", "lost charge", func(e *evidence) {
			e.books.ledger = e.books.ledger[:len(e.books.ledger)-1]
		}},
		{"charged the price of another", "wrong charge", func(e *evidence) { e.books.ledger[1].amount = -3610000 }},
		{"charged for nothing", "charge for nothing", func(e *evidence) { e.charge("charge/nobody", -12050000) }},
		{"seeded twice", "wrong balance", func(e *evidence) {
			e.books.ledger = append(e.books.ledger, entry{"top-up/2", "top-up", 1000e8})
			e.books.balance += 1000e8
		}},
		{"another price shown", "wrong price", func(e *evidence) { e.edit("right", func(f *found) { f.Price = "0" }) }},

		{"second verification for a number in progress", "two at once", func(e *evidence) {
			twin := *e.of("right")
			twin.id = "twin"
			e.books.verifications["twin"] = &twin
		}},
		{"never ends", "never ends", func(e *evidence) {
			e.of("expired").status, e.of("expired").finalized = "IN PROGRESS", time.Time{}
		}},
		{"ends late", "late step", func(e *evidence) { e.of("expired").finalized = at(16500) }},
		{"ends early", "early end", func(e *evidence) { e.of("expired").finalized = at(5000) }},
		{"steps early", "early step", func(e *evidence) { e.of("expired").events[1].started = at(1100) }},
		{"steps late", "late step", func(e *evidence) { e.of("expired").events[2].started = at(13500) }},
		{"skips a step", "skipped step", func(e *evidence) {
			r := e.of("expired")
			r.events = r.events[:2]
			e.phone["expired"] = e.phone["expired"][:3]
		}},
		{"an extra step", "too many events", func(e *evidence) {
			r := e.of("expired")
			r.events = append(r.events, r.events[2])
		}},
		{"wrong channel", "wrong channel", func(e *evidence) { e.of("expired").events[1].channel = "sms" }},
		{"PIN kept", "secret kept", func(e *evidence) { e.of("right").secret = true }},

		{"message lost", "lost message", func(e *evidence) { delete(e.phone, "right") }},
		{"message lost, and then a crash", "lost message", func(e *evidence) {
			e.phone["expired"] = e.phone["expired"][1:]
		}},
		{"message lost in a crash", "lost message", func(e *evidence) { e.phone["unanswered"] = e.phone["unanswered"][1:] }},
		{"third copy", "third copy", func(e *evidence) { e.copy("expired", 2, 1500) }},
		{"copy without a crash", "copy without a crash", func(e *evidence) { e.copy("right", 0, 10) }},
		{"copy of an event with an outcome", "copy without a crash", func(e *evidence) {
			e.outages[0].inFlight = map[string]bool{"unanswered-0": true}
		}},
		{"two copies in one verification for one crash", "two copies for one crash", func(e *evidence) {
			e.copy("expired", 0, 1420)
			e.outages[0].inFlight["expired-0"] = true
		}},
		{"more copies than in flight", "too many copies", func(e *evidence) {
			e.outages[0].inFlight = nil
		}},
		{"another PIN in the copy", "different PIN", func(e *evidence) { e.phone["expired"][2].Text = "Your code is 7, 7, 7, 7" }},
		{"another PIN in the next message", "different PIN", func(e *evidence) {
			e.phone["expired"][1].Text = "Your code is 7, 7, 7, 7"
			e.phone["expired"][2].Text = "Your code is 7, 7, 7, 7"
		}},
		{"new PIN while the old one lives", "new PIN too early", func(e *evidence) { e.of("expired").events[1].generation = 2 }},
		{"expired PIN sent", "dead PIN sent", func(e *evidence) { e.of("expired").events[2].generation = 1 }},
		{"PIN sent with less than a minute left", "stale PIN sent", func(e *evidence) { e.of("triggered").events[2].started = at(2401) }},
		{"lifetime of the start in a later message", "wrong lifetime", func(e *evidence) { e.states("expired", 1, 5) }},
		{"lifetime too short", "wrong lifetime", func(e *evidence) { e.states("right", 0, 4) }},
		{"no lifetime", "wrong lifetime", func(e *evidence) { e.phone["right"][0].Text = "Your code is 1001" }},
		{"message after a cancellation", "sent after the end", func(e *evidence) {
			r := e.of("cancelled")
			r.events = append(r.events, event{"cancelled-1", "tts", 1, "accepted", 1, at(1650)})
			e.send("cancelled", "cancelled-1", "tts", "Your code is 1, 0, 0, 3", 1651)
		}},
		{"message before its event", "sent before it was committed", func(e *evidence) { e.phone["right"][0].SentAt = at(-50) }},
		{"message of an unknown verification", "stray message", func(e *evidence) { e.send("void", "x", "sms", "Your code is 1234", 1300) }},
		{"message of an unknown event", "stray message", func(e *evidence) { e.phone["right"][0].EventID = "x" }},
		{"message to another number", "stray message", func(e *evidence) { e.phone["right"][0].Number = "other" }},

		{"success twice", "second success", func(e *evidence) { e.check("right", "1001", "0", 900) }},
		{"success recorded twice", "second success", func(e *evidence) {
			e.of("right").checks = append(e.of("right").checks, checked{1, true})
		}},
		{"success not recorded", "forgotten success", func(e *evidence) {
			r := e.of("right")
			r.status, r.checks[1].valid = "EXPIRED", false
		}},
		{"failure not recorded", "forgotten failure", func(e *evidence) { e.of("failed").status = "EXPIRED" }},
		{"wrong code accepted", "wrong code accepted", func(e *evidence) { e.answer("right", "0").code = "9999" }},
		{"right code refused", "right code refused", func(e *evidence) { e.check("expired", "1004", "16", 600) }},
		{"right code refused after the crash", "right code refused", func(e *evidence) { e.check("expired", "1004", "16", 1500) }},
		{"code accepted after its PIN expired", "wrong code accepted", func(e *evidence) { e.check("expired", "1004", "0", 3500) }},
		{"fourth guess", "too many guesses", func(e *evidence) {
			e.check("failed", "9994", "16", 350)
			e.of("failed").checks = append(e.of("failed").checks, checked{1, false})
		}},
		{"wrong code not counted", "forgotten check", func(e *evidence) { e.of("failed").checks = e.of("failed").checks[:2] }},
		{"wrong code not shown", "forgotten check", func(e *evidence) {
			e.edit("failed", func(f *found) { f.Checks[1].Code = "9991" })
		}},
		{"check without a request", "check out of nothing", func(e *evidence) {
			e.of("cancelled").checks = []checked{{1, false}, {1, false}}
		}},
		{"status 6 while in progress", "gone before the end", func(e *evidence) { e.check("expired", "1004", "6", 700) }},
		{"cancel not recorded", "forgotten cancel", func(e *evidence) { e.of("cancelled").status = "EXPIRED" }},
		{"trigger not recorded", "forgotten trigger", func(e *evidence) {
			e.say(call{verb: "trigger", number: "expired", request: "expired", status: "0"}, 2000)
		}},
		{"success after the end", "acted on after the end", func(e *evidence) { e.of("right").finalized = at(9000) }},

		{"search shows another state", "search differs", func(e *evidence) {
			e.edit("right", func(f *found) { f.Status = "IN PROGRESS" })
		}},
		{"search hides an event", "search differs", func(e *evidence) {
			e.edit("expired", func(f *found) { f.Events = f.Events[:2] })
		}},
		{"internal error", "unexpected answer", func(e *evidence) { e.check("right", "1001", "5", 300) }},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			e := soundRun()
			tt.plant(&e)
			if v := judge(e); v.count(tt.rule) == 0 {
				t.Errorf("the judge does not report %q, only %v", tt.rule, v.faults)
			}
		})
	}
}

// TestCrashJudgeIsFair checks runs with unusual but correct behavior.
func TestCrashJudgeIsFair(t *testing.T) {
	t.Parallel()
	for name, plant := range map[string]func(*evidence){
		"a second crash loses the second attempt": func(e *evidence) {
			e.outages[0].back = at(1460)
			e.outages = append(e.outages, outage{died: at(1430), back: at(1460), inFlight: map[string]bool{"unanswered-0": true}})
			e.phone["unanswered"] = e.phone["unanswered"][1:]
			e.of("unanswered").events[0].attempt = 2
		},
		"a verification ends before the program has restarted": func(e *evidence) {
			e.phone["cancelled"] = nil
			e.outages = append([]outage{{died: at(2), back: at(450), inFlight: map[string]bool{"cancelled-0": true}}}, e.outages...)
		},
		"the next event is due before the program has restarted": func(e *evidence) {
			e.outages[0].back = at(2600)
			later := e.of("later") // its earliest step is also at 2600
			later.events[1].started, later.events[2].started, later.finalized = at(2600), at(4400), at(7400)
			e.phone["later"][1].SentAt, e.phone["later"][2].SentAt = at(2605), at(4405)
			e.states("later", 1, 1)
			e.phone["unanswered"] = e.phone["unanswered"][1:]
			e.of("unanswered").events[1].started = at(2600)
			e.of("unanswered").events[2].started = at(4400)
			e.of("unanswered").finalized = at(7400)
			e.phone["unanswered"][0].SentAt, e.phone["unanswered"][1].SentAt = at(2605), at(4405)
			e.phone["expired"] = slices.Delete(e.phone["expired"], 2, 3)
		},
		"no step was taken while the program was down": func(e *evidence) {
			e.outages = append(e.outages, outage{died: at(2900), back: at(8000)})
			for id, r := range e.books.verifications {
				if r.status == "EXPIRED" {
					r.events, r.finalized = r.events[:2], at(8001)
					e.edit(id, func(f *found) { f.Events = f.Events[:2] })
					last := len(e.phone[id]) - 1
					e.phone[id] = e.phone[id][:last]
				}
			}
		},
		"a new PIN replaces one with less than a minute left": func(e *evidence) {
			p := e.plans["later"]
			p.pinLife += 300 * time.Millisecond
			e.plans["later"] = p
			e.states("later", 1, 3)
			e.of("later").finalized = at(6600)
		},
		"a message long after its event states less": func(e *evidence) {
			e.phone["later"][2].SentAt = at(5500)
			e.states("later", 2, 1)
		},
		"a check loses its connection": func(e *evidence) { e.check("right", "1001", "", 300) },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			e := soundRun()
			plant(&e)
			if v := judge(e); len(v.faults) > 0 {
				t.Errorf("false faults: %v", v.faults)
			}
		})
	}
}

// soundRun returns the evidence of a small run without faults, with one crash 1,253 ms after its
// beginning. Each verification has its number as its id.
func soundRun() evidence {
	e := evidence{
		plans:   map[string]plan{},
		phone:   map[string][]message{},
		found:   map[string]found{},
		outages: []outage{{died: at(1253), back: at(1400), inFlight: map[string]bool{"expired-1": true, "unanswered-0": true}}},
		books: books{
			verifications: map[string]*record{}, integrity: "ok",
			ledger: []entry{{"top-up/1", "top-up", 1000e8}}, balance: 1000e8,
		},
	}

	e.start("right", "0", 0)
	e.verification("right", "SUCCESS", 500, 1)
	e.send("right", "right-0", "sms", "Your code is 1001, valid for 5 minutes", 5)
	e.check("right", "9999", "16", 400)
	e.check("right", "1001", "0", 500)
	e.check("right", "1001", "6", 1500)
	e.settle("right", "9999", "1001!")

	e.start("failed", "0", 0)
	e.verification("failed", "FAILED", 300, 1)
	e.send("failed", "failed-0", "sms", "Your code is 1002, valid for 5 minutes", 5)
	for i, code := range []string{"9990", "9992", "9993"} {
		e.check("failed", code, []string{"16", "16", "17"}[i], 100*(i+1))
	}
	e.check("failed", "1002", "6", 400)
	e.settle("failed", "9990", "9992", "9993")

	e.start("cancelled", "0", 0)
	e.verification("cancelled", "CANCELLED", 400, 1)
	e.send("cancelled", "cancelled-0", "sms", "Your code is 1003, valid for 5 minutes", 5)
	e.say(call{verb: "cancel", number: "cancelled", request: "cancelled", status: "19"}, 200)
	e.say(call{verb: "cancel", number: "cancelled", request: "cancelled", status: "0"}, 400)
	e.check("cancelled", "1003", "6", 600)
	e.settle("cancelled")

	// The crash hides the outcome of the second event, which is sent again. The third is sent after
	// the PIN has expired.
	e.start("expired", "0", 0)
	e.verification("expired", "EXPIRED", 6050, 3)
	e.send("expired", "expired-0", "sms", "Your code is 1004, valid for 5 minutes", 5)
	e.send("expired", "expired-1", "tts", "Your code is 1, 0, 0, 4, valid for 2 minutes", 1252)
	e.send("expired", "expired-1", "tts", "Your code is 1, 0, 0, 4, valid for 2 minutes", 1401)
	e.send("expired", "expired-2", "tts", "Your code is 2, 0, 0, 4, valid for 5 minutes", 3055)
	e.settle("expired")

	// The crash precedes the first message and the answer.
	e.start("unanswered", "", 1251)
	e.verification("unanswered", "EXPIRED", 7301, 3)
	for i, ms := range []int{1251, 2501, 4301} {
		e.of("unanswered").events[i].started = at(ms)
	}
	e.send("unanswered", "unanswered-0", "sms", "Your code is 1005, valid for 5 minutes", 1402)
	e.send("unanswered", "unanswered-1", "tts", "Your code is 1, 0, 0, 5, valid for 2 minutes", 2505)
	e.send("unanswered", "unanswered-2", "tts", "Your code is 2, 0, 0, 5, valid for 5 minutes", 4305)
	e.settle("unanswered")

	// Triggered twice, so that the PIN is valid until the end.
	e.start("triggered", "0", 0)
	e.verification("triggered", "SUCCESS", 600, 3)
	for i, ms := range []int{0, 300, 310} {
		e.of("triggered").events[i].started = at(ms)
		e.of("triggered").events[i].generation = 1
	}
	e.say(call{verb: "trigger", number: "triggered", request: "triggered", status: "0"}, 300)
	e.say(call{verb: "trigger", number: "triggered", request: "triggered", status: "0"}, 310)
	e.say(call{verb: "trigger", number: "triggered", request: "triggered", status: "19"}, 320)
	e.send("triggered", "triggered-0", "sms", "Your code is 1006, valid for 5 minutes", 5)
	e.send("triggered", "triggered-1", "tts", "Your code is 1, 0, 0, 6, valid for 4 minutes", 305)
	e.send("triggered", "triggered-2", "tts", "Your code is 1, 0, 0, 6, valid for 4 minutes", 315)
	e.check("triggered", "1006", "0", 600)
	e.settle("triggered", "1006!")

	// The second step of this verification is the first after the crash.
	e.start("later", "0", 250)
	e.verification("later", "EXPIRED", 6300, 3)
	for i, ms := range []int{250, 1500, 3300} {
		e.of("later").events[i].started = at(ms)
	}
	e.send("later", "later-0", "sms", "Your code is 1007, valid for 5 minutes", 255)
	e.send("later", "later-1", "tts", "Your code is 1, 0, 0, 7, valid for 2 minutes", 1505)
	e.send("later", "later-2", "tts", "Your code is 2, 0, 0, 7, valid for 5 minutes", 3305)
	e.settle("later")

	// The program never received this start.
	e.start("void", "", 1252)
	return e
}

// at returns the time ms milliseconds after the beginning of the run.
func at(ms int) time.Time {
	return time.Date(2026, time.November, 22, 12, 0, 0, 0, time.UTC).Add(time.Duration(ms) * time.Millisecond)
}

// say adds a call to the clients' journal.
func (e *evidence) say(c call, ms int) {
	c.sent, c.answered = at(ms-3), at(ms+1)
	e.calls = append(e.calls, c)
}

func (e *evidence) start(id, status string, ms int) {
	c := call{verb: "start", number: id, status: status}
	if status != "" {
		c.request = id
	}
	e.say(c, ms)
	e.plans[id] = plan{
		channels: []string{"sms", "tts", "tts"},
		waits:    []time.Duration{1250 * time.Millisecond, 1800 * time.Millisecond, 3 * time.Second},
		pinLife:  3 * time.Second, minute: 600 * time.Millisecond, price: 12050000,
	}
}

func (e *evidence) check(id, code, status string, ms int) {
	e.say(call{verb: "check", number: id, request: id, code: code, status: status}, ms)
}

// verification adds a verification to the books, with the first n events of its plan.
func (e *evidence) verification(id, status string, finalized, n int) {
	r := &record{id: id, number: id, status: status, price: 12050000, finalized: at(finalized)}
	for i, ms := range []int{0, 1250, 3050}[:n] {
		generation := 1
		if i == 2 {
			generation = 2
		}
		r.events = append(r.events, event{fmt.Sprintf("%s-%d", id, i), []string{"sms", "tts", "tts"}[i], generation, "accepted", 1, at(ms)})
	}
	e.books.verifications[id] = r
	e.charge("charge/"+id, -r.price)
}

func (e *evidence) charge(key string, amount int64) {
	kind, _, _ := strings.Cut(key, "/")
	e.books.ledger = append(e.books.ledger, entry{key, kind, amount})
	e.books.balance += amount
}

// settle records the checks, with a "!" after a valid code, and the answer of search.
func (e *evidence) settle(id string, codes ...string) {
	r := e.of(id)
	f := found{RequestID: id, Number: id, Status: r.status, Price: "0.12050000"}
	for _, code := range codes {
		status, valid := "INVALID", code[len(code)-1] == '!'
		if valid {
			status = "VALID"
		}
		r.checks = append(r.checks, checked{1, valid})
		f.Checks = append(f.Checks, struct{ Code, Status string }{code[:4], status})
	}
	for _, event := range r.events {
		f.Events = append(f.Events, struct{ ID, Type string }{event.id, event.channel})
	}
	e.found[id] = f
}

// send delivers a message to the phone.
func (e *evidence) send(id, event, channel, text string, ms int) {
	e.phone[id] = append(e.phone[id], message{
		Number: id, Channel: channel, Text: text, EventID: event, RequestID: id, SentAt: at(ms),
	})
}

// states changes the lifetime in message n of id.
func (e *evidence) states(id string, n, minutes int) {
	m := &e.phone[id][n]
	m.Text = statedMinutes.ReplaceAllString(m.Text, fmt.Sprintf("%d minutes", minutes))
}

// copy delivers message n of id again.
func (e *evidence) copy(id string, n, ms int) {
	m := e.phone[id][n]
	m.SentAt = at(ms)
	e.phone[id] = append(e.phone[id], m)
}

func (e *evidence) of(id string) *record { return e.books.verifications[id] }

// edit changes the answer of search.
func (e *evidence) edit(id string, change func(*found)) {
	f := e.found[id]
	f.Checks, f.Events = slices.Clone(f.Checks), slices.Clone(f.Events)
	change(&f)
	e.found = maps.Clone(e.found)
	e.found[id] = f
}

// answer returns the first check call for id with this status.
func (e *evidence) answer(id, status string) *call {
	return &e.calls[slices.IndexFunc(e.calls, func(c call) bool {
		return c.verb == "check" && c.request == id && c.status == status
	})]
}
