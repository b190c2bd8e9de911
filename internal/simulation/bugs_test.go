package simulation

import (
	"slices"
	"testing"
	"time"

	"countersign/internal/verify"
)

// bugs are the faults that the judge must report, by name. Each function changes sound evidence,
// and returns false if that evidence has no place for its fault.
func bugs() map[string]func(*evidence) bool {
	return map[string]func(*evidence) bool{
		"an accepted verification is lost": func(e *evidence) bool {
			i := slices.IndexFunc(e.starts, func(s start) bool { return s.refused == verify.KindInternal })
			if i < 0 {
				return false
			}
			id := e.starts[i].id
			e.records = slices.DeleteFunc(e.records, func(r verify.Verification) bool {
				if r.ID == id {
					e.balance[r.Account] += r.Price
				}
				return r.ID == id
			})
			e.phones = slices.DeleteFunc(e.phones, func(s sent) bool { return s.request == id })
			delete(e.charges, id)
			return true
		},
		"a verification never ends": record(func(r *verify.Verification) bool { r.Status = verify.InProgress; return true }),
		"a value reads back differently": func(e *evidence) bool {
			i := slices.IndexFunc(e.records, func(r verify.Verification) bool { return r.To.Given != "" })
			if e.crashes > 0 || i < 0 {
				return false
			}
			e.records[i].Locale += "?"
			return true
		},
		"a fact is lost": record(func(r *verify.Verification) bool {
			last := len(r.Facts) - 1
			r.Facts = r.Facts[:last]
			return true
		}),
		"an extra fact of a charge": record(func(r *verify.Verification) bool {
			r.Facts = append(r.Facts, verify.Fact{Kind: verify.Charged, Amount: r.Price})
			return r.Price > 0
		}),
		"something stays due": func(e *evidence) bool { e.due = true; return true },
		"charged twice":       charge(2),
		"never charged":       charge(0),
		"refunded though sent": record(func(r *verify.Verification) bool {
			done := r.Paid && r.Status != verify.Success
			r.Paid = r.Paid && !done
			return done
		}),
		"the balance is wrong": func(e *evidence) bool { e.balance[accounts()[0]]++; return true },
		"two verifications run at the same time for one number": func(e *evidence) bool {
			for i, r := range e.records {
				for j := i + 1; j < len(e.records); j++ {
					if e.records[j].Account == r.Account && e.numbers[e.records[j].ID] == e.numbers[r.ID] {
						e.records[i].FinalizedAt = e.records[j].SubmittedAt.Add(time.Millisecond)
						return true
					}
				}
			}
			return false
		},
		"a verification survives the erasure of its number": erased(func(r *verify.Verification, e erasure) { r.FinalizedAt = e.ended.Add(time.Millisecond) }),
		"a number survives its erasure":                     erased(func(r *verify.Verification, _ erasure) { r.To.Given = erasable }),
		"another account delays a start":                    func(e *evidence) bool { e.delays = append(e.delays, "one"); return true },
		"a fourth guess": record(func(r *verify.Verification) bool {
			return slices.ContainsFunc(r.Checks, func(c verify.Check) bool {
				wrong := !c.Valid && c.Generation > 0
				if wrong {
					r.Checks = slices.Concat(slices.Repeat([]verify.Check{c}, verify.TriesPerPIN), r.Checks)
				}
				return wrong
			})
		}),
		"success without a code": record(func(r *verify.Verification) bool {
			ok := len(r.Checks) == 0
			r.Status = verify.Success
			return ok
		}),
		"a code is right twice": record(func(r *verify.Verification) bool {
			i := slices.IndexFunc(r.Checks, func(c verify.Check) bool { return c.Valid })
			if i >= 0 {
				r.Checks = append(r.Checks, r.Checks[i])
			}
			return i >= 0
		}),
		"a wrong code is forgotten": func(e *evidence) bool {
			for _, c := range e.checks {
				if c.kind != verify.KindWrongCode {
					continue
				}
				for i := range e.records {
					if e.records[i].ID == c.id {
						e.records[i].Checks = slices.DeleteFunc(e.records[i].Checks, func(k verify.Check) bool { return !k.Valid })
						return true
					}
				}
			}
			return false
		},
		"a client received success, the database has none": func(e *evidence) bool {
			for _, r := range e.records {
				if r.Status == verify.Expired {
					e.checks = append(e.checks, check{id: r.ID, right: true})
					return true
				}
			}
			return false
		},
		"an extra step": record(func(r *verify.Verification) bool {
			for len(r.Events) <= len(r.Workflow.Steps) {
				extra := r.Events[len(r.Events)-1]
				extra.Seq++
				r.Events = append(r.Events, extra)
			}
			return true
		}),
		"an outcome stays open": event(func(e *verify.Event) bool { e.State = verify.EventSubmitting; return true }),
		"a message is recorded and was never sent": func(e *evidence) bool {
			for _, r := range e.records {
				for _, event := range r.Events {
					if event.State == verify.EventDelivered {
						e.phones = slices.DeleteFunc(e.phones, func(s sent) bool { return s.event == event.ID })
						return true
					}
				}
			}
			return false
		},
		"a message over a cap": capped(func(_ *evidence, _ verify.ID, event *verify.Event) { event.Error = "" }),
		"a capped message arrives": capped(func(e *evidence, id verify.ID, event *verify.Event) {
			e.phones = append(e.phones, sent{request: id, event: event.ID, seq: event.Seq, attempt: 1, pin: "1234"})
		}),
		"a guess over a cap": func(e *evidence) bool {
			for i := range e.records {
				for _, w := range e.caps.AccountFailedChecks {
					if r := &e.records[i]; r.Status == verify.Expired && e.numbers[r.ID] != erasable {
						guess := verify.Check{ReceivedAt: r.FinalizedAt}
						for g := range w.Count + 1 { // one for each PIN
							guess.Generation = g
							r.Checks = append(r.Checks, guess)
						}
						return true
					}
				}
			}
			return false
		},
		"a message arrives twice": phone(func(e *evidence, s sent) { e.phones = append(e.phones, s) }),
		"a third attempt": phone(func(e *evidence, s sent) {
			s.attempt = verify.MaxAttempts + 1
			e.phones = append(e.phones, s)
		}),
		"one event, two PINs": phone(func(e *evidence, s sent) {
			s.attempt, s.pin = 3-s.attempt, "no"
			e.phones = append(e.phones, s)
		}),
		"a lifetime longer than the PIN's": stated(func(s *sent) bool { s.minutes++; return true }),
		"a lifetime as long as at the start": stated(func(s *sent) bool {
			later := s.minutes < 5
			s.minutes = 5
			return later
		}),
		"a new PIN too early": record(func(r *verify.Verification) bool {
			i := slices.IndexFunc(r.Events, func(e verify.Event) bool { return e.Seq > 0 && e.Generation == 1 })
			if i > 0 {
				r.Events[i].Generation++
			}
			return i > 0
		}),
		"a PIN sent with less than a minute left": record(func(r *verify.Verification) bool {
			i := slices.IndexFunc(r.Events, func(e verify.Event) bool { return e.Generation > 1 })
			if i < 0 || r.Workflow.PINPolicy != verify.ReusePIN {
				return false
			}
			r.Events[i].Generation--
			return true
		}),
		"a message of an unknown verification": phone(func(e *evidence, s sent) {
			s.request = verify.ID{1}
			e.phones = append(e.phones, s)
		}),
		"a message of an unknown event": phone(func(e *evidence, s sent) {
			s.event = verify.ID{1}
			e.phones = append(e.phones, s)
		}),
	}
}

func record(change func(*verify.Verification) bool) func(*evidence) bool {
	return func(e *evidence) bool {
		for i := range e.records {
			if change(&e.records[i]) {
				return true
			}
		}
		return false
	}
}

func event(change func(*verify.Event) bool) func(*evidence) bool {
	return record(func(r *verify.Verification) bool { return len(r.Events) > 0 && change(&r.Events[0]) })
}

func capped(change func(*evidence, verify.ID, *verify.Event)) func(*evidence) bool {
	return func(e *evidence) bool {
		for i := range e.records {
			for j := range e.records[i].Events {
				if event := &e.records[i].Events[j]; event.Error == verify.CappedEvent && e.numbers[e.records[i].ID] != erasable {
					change(e, e.records[i].ID, event)
					return true
				}
			}
		}
		return false
	}
}

// erased changes a verification that was erased.
func erased(change func(*verify.Verification, erasure)) func(*evidence) bool {
	return func(e *evidence) bool {
		for _, erasure := range e.erasures {
			for i := range e.records {
				if r := &e.records[i]; erasure.held == 0 && slices.Contains(erasure.accepted, r.ID) {
					change(r, erasure)
					return true
				}
			}
		}
		return false
	}
}

func charge(times int) func(*evidence) bool {
	return func(e *evidence) bool {
		for id := range e.charges {
			e.charges[id] = times
			return true
		}
		return false
	}
}

func phone(change func(*evidence, sent)) func(*evidence) bool {
	return func(e *evidence) bool {
		if len(e.phones) == 0 {
			return false
		}
		change(e, e.phones[0])
		return true
	}
}

// stated changes the lifetime that a message states.
func stated(change func(*sent) bool) func(*evidence) bool {
	return func(e *evidence) bool {
		for i := range e.phones {
			if change(&e.phones[i]) {
				return true
			}
		}
		return false
	}
}

// TestJudge checks that the judge reports each bug, and reports none in sound evidence.
func TestJudge(t *testing.T) {
	t.Parallel()
	tpl := makeTemplate(t)
	for name, plant := range bugs() {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			for seed := uint64(1); seed <= 50; seed++ {
				_, e := live(t, tpl, seed)
				if broken := judge(e); len(broken) > 0 {
					t.Fatalf("the judge reports faults in sound evidence: %q", broken)
				}
				if !plant(&e) {
					continue
				}
				if broken := judge(e); len(broken) == 0 {
					t.Error("the judge does not report the fault")
				} else {
					t.Log(broken[0])
				}
				return
			}
			t.Error("no seed of 50 has a place for the fault")
		})
	}
}
