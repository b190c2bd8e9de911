package engine_test

import (
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"countersign/internal/engine"
	"countersign/internal/store"
	"countersign/internal/verify"
)

// fail makes the database reject every new verification, or every change of one.
func (b *bench) fail(operation string) {
	if store.IsPostgres(b.path) {
		b.behind(`CREATE OR REPLACE FUNCTION broken() RETURNS TRIGGER AS $$ BEGIN RAISE 'the disk is on fire'; END $$ LANGUAGE plpgsql;
			CREATE TRIGGER broken BEFORE ` + operation + ` ON verifications FOR EACH ROW EXECUTE FUNCTION broken()`)
		return
	}
	b.behind(`CREATE TRIGGER broken BEFORE ` + operation + ` ON verifications BEGIN SELECT RAISE(ABORT, 'the disk is on fire'); END`)
}

func (b *bench) mend() {
	if store.IsPostgres(b.path) {
		b.behind(`DROP TRIGGER broken ON verifications`)
		return
	}
	b.behind(`DROP TRIGGER broken`)
}

// TestStartFails: a start that cannot be written has no effect.
func TestStartFails(t *testing.T) {
	t.Parallel()
	b := setUp(t)
	b.fail("INSERT")
	if _, err := b.Start(t.Context(), b.account, b.request()); err == nil || kind(err) != -1 {
		t.Errorf("got %v, want an error other than a refusal", err)
	}
	if n := len(b.carrier.all()); n != 0 {
		t.Errorf("%d messages were sent", n)
	}
	if sum, charges, err := b.db.LedgerSum(t.Context(), b.account.Key); err != nil || charges != 0 || sum != 100*verify.Unit {
		t.Errorf("%s after %d charges (%v), want no charge", sum, charges, err)
	}
	b.mend()
	v, err := b.Start(t.Context(), b.account, b.request())
	must(t, err)
	b.settled(v.ID, 0)
}

// TestStepFails: a failed step is retried after a second.
func TestStepFails(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := setUp(t)
		b.resume()
		v, err := b.Start(t.Context(), b.account, b.request())
		must(t, err)
		b.settled(v.ID, 0)
		b.rest()
		b.fail("UPDATE")
		b.clock.Advance(125 * time.Second)
		b.rest()
		if err := b.Trigger(t.Context(), b.account, v.ID); err == nil {
			t.Error("a trigger succeeded that cannot be written")
		}
		b.mend()
		if n := len(b.carrier.all()); n != 1 {
			t.Fatalf("%d messages, want 1: the step is not written", n)
		}
		b.clock.Advance(time.Second)
		if e := b.settled(v.ID, 1); e.State != verify.EventAccepted {
			t.Errorf("the event is %+v", e)
		}
		if n := len(b.carrier.all()); n != 2 {
			t.Errorf("%d messages, want 2", n)
		}
	})
}

// TestOutcomeFails: a failed write of an outcome is retried, and the message is not sent
// again.
func TestOutcomeFails(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := setUp(t)
		b.fail("UPDATE")
		v, err := b.Start(t.Context(), b.account, b.request())
		must(t, err)
		for range 5 {
			b.rest() // until the retry pause
			if e := b.record(v.ID).Events[0]; e.State != verify.EventSubmitting {
				t.Fatalf("the event is %+v", e)
			}
			b.clock.Advance(3 * time.Second)
		}
		b.rest()
		b.mend()
		b.clock.Advance(3 * time.Second)
		if e := b.settled(v.ID, 0); e.State != verify.EventAccepted || e.Attempt != 1 || e.Carrier != "phone" {
			t.Errorf("the event is %+v", e)
		}
		if n := len(b.carrier.all()); n != 1 {
			t.Errorf("%d messages, want 1", n)
		}
	})
}

// TestNoDatabase: without a database every verb returns an error and does not panic.
func TestNoDatabase(t *testing.T) {
	t.Parallel()
	verbs := map[string]func(*bench, verify.ID) error{
		"Admit": func(b *bench, _ verify.ID) error {
			_, err := b.Admit(b.t.Context(), engine.Proof{Key: "demo0001", Secret: "secret"})
			return err
		},
		"Start": func(b *bench, _ verify.ID) error {
			req := b.request()
			req.To = verify.PhoneAddress("447700900009", req.To.Country)
			_, err := b.Start(b.t.Context(), b.account, req)
			return err
		},
		"Check": func(b *bench, id verify.ID) error {
			pin, _ := verify.ParsePIN("0000")
			_, err := b.Check(b.t.Context(), b.account, id, pin, "")
			return err
		},
		"Search": func(b *bench, id verify.ID) error {
			_, err := b.Search(b.t.Context(), b.account, []verify.ID{id})
			return err
		},
		"Cancel":  func(b *bench, id verify.ID) error { return b.Cancel(b.t.Context(), b.account, id) },
		"Trigger": func(b *bench, id verify.ID) error { return b.Trigger(b.t.Context(), b.account, id) },
	}
	for name, verb := range verbs {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := setUp(t)
			v, err := b.Start(t.Context(), b.account, b.request())
			must(t, err)
			b.settled(v.ID, 0)
			must(t, b.db.Close())
			err = verb(b, v.ID)
			if refusal, ok := errors.AsType[*verify.Error](err); err == nil || ok && refusal.Kind != verify.KindUnavailable {
				t.Errorf("got %v, want an error of the database or KindUnavailable", err)
			}
		})
	}
}
