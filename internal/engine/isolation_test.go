package engine_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"countersign/internal/store"
	"countersign/internal/verify"
)

// TestOtherAccount: the id of another account's verification is treated like an unknown id:
// live, with a broken document, ended and archived.
func TestOtherAccount(t *testing.T) {
	t.Parallel()
	b := setUp(t)
	other := verify.Account{Key: "other001"}
	must(t, b.db.CreateAccount(t.Context(), store.NewAccount{Account: other, Secret: "secret"}, t0))
	v, err := b.Start(t.Context(), b.account, b.request())
	must(t, err)
	b.settled(v.ID, 0)
	unknown := func(when string) {
		t.Helper()
		for name, err := range map[string]error{
			"check":   second(b.Check(t.Context(), other, v.ID, v.PIN, "192.0.2.1")),
			"cancel":  b.Cancel(t.Context(), other, v.ID),
			"trigger": b.Trigger(t.Context(), other, v.ID),
		} {
			refusal, ok := errors.AsType[*verify.Error](err)
			if !ok || refusal.Kind != verify.KindNotFound || refusal.Request != v.ID {
				t.Errorf("%s: %s: %v, want KindNotFound", when, name, err)
			}
		}
		found, err := b.Search(t.Context(), other, []verify.ID{v.ID})
		if err != nil || len(found) != 0 {
			t.Errorf("%s: search: %d found, %v", when, len(found), err)
		}
	}
	before := b.record(v.ID)
	b.clock.Advance(31 * time.Second)
	unknown("live")
	if after := b.record(v.ID); len(after.Checks) != 0 || len(after.Events) != 1 || after.Status != before.Status {
		t.Errorf("changed by another account: %+v", after)
	}
	b.breakRows()
	unknown("broken")
	b.mendRows()
	must(t, b.Cancel(t.Context(), b.account, v.ID))
	unknown("ended")
	if n, err := b.db.Archive(t.Context(), store.Cutoffs{Codes: at(60)}, 10); n != 1 || err != nil {
		t.Fatalf("%d archived, %v", n, err)
	}
	unknown("archived")
	found, err := b.Search(t.Context(), b.account, []verify.ID{v.ID})
	if err != nil || len(found) != 1 || found[0].Status != verify.Cancelled {
		t.Errorf("search by its account: %+v, %v", found, err)
	}
}

func second(_ verify.Verification, err error) error { return err }

// TestTwoSpellings: an account has one verification in progress for a number in both its
// forms; search and carrier get the form that was given, also in the archive.
func TestTwoSpellings(t *testing.T) {
	t.Parallel()
	for _, forms := range [][2]string{{"5491123456789", "541123456789"}, {"22997123456", "2290197123456"}} {
		for i, given := range forms {
			b := setUp(t)
			ctx := context.WithoutCancel(t.Context())
			start := func(number string) (verify.Verification, error) {
				req := b.request()
				req.To = verify.PhoneAddress(number, "AR")
				return b.Start(ctx, b.account, req)
			}
			v, err := start(given)
			must(t, err)
			b.settled(v.ID, 0)
			_, err = start(forms[1-i])
			if refusal, ok := errors.AsType[*verify.Error](err); !ok || refusal.Kind != verify.KindConcurrent || refusal.Request != v.ID {
				t.Errorf("%s after %s: %v, want KindConcurrent", forms[1-i], given, err)
			}
			if to := b.carrier.all()[0].To.Given; to != given {
				t.Errorf("sent to %s, want %s", to, given)
			}
			b.clock.Advance(31 * time.Second)
			must(t, b.Cancel(ctx, b.account, v.ID))
			shows := func(want string) {
				t.Helper()
				for _, by := range forms {
					list, err := b.db.FindVerifications(ctx, store.VerificationFilter{Number: by, Since: t0, Until: at(60), Limit: 5})
					must(t, err)
					if want == "" && len(list) != 0 || want != "" && (len(list) != 1 || list[0].To.Given != want) {
						t.Errorf("found by %s: %+v, want %q", by, list, want)
					}
				}
				if got := b.record(v.ID).To.Given; got != want {
					t.Errorf("the record shows %q, want %q", got, want)
				}
			}
			shows(given)
			n, err := b.db.Archive(ctx, store.Cutoffs{Codes: at(60)}, 10)
			if n != 1 || err != nil {
				t.Fatalf("%d archived, %v", n, err)
			}
			shows(given)
			done, err := b.ForgetNumber(ctx, store.Forget{Number: forms[1-i]})
			if err != nil || done.Archived != 1 {
				t.Errorf("forget: %+v, %v", done, err)
			}
			shows("")
			v, err = start(forms[1-i])
			must(t, err)
			b.settled(v.ID, 0)
			if _, err = b.ForgetNumber(ctx, store.Forget{Number: given}); !errors.Is(err, store.ErrRunning) {
				t.Errorf("forget while it runs: %v", err)
			}
			if done, err = b.ForgetNumber(ctx, store.Forget{Number: given, Cancel: true}); err != nil || done.Cancelled != 1 || done.Verifications != 1 || done.Held != 0 {
				t.Errorf("forget and cancel: %+v, %v", done, err)
			}
		}
	}
}
