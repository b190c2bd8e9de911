package engine_test

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"countersign/internal/await"
	"countersign/internal/deliver"
	"countersign/internal/verify"
)

// TestLedgerRace: a thousand concurrent starts on a balance one unit short of 438 prices. 437
// are accepted, each is charged once, and the balance is exact to the unit. Then the carrier
// refuses all, they are cancelled concurrently, and the full balance is restored.
func TestLedgerRace(t *testing.T) {
	t.Parallel()
	t.Run("sqlite", func(t *testing.T) {
		t.Parallel()
		b := setUp(t, via(refuser{}))
		ledgerRace(t, b)
	})
	t.Run("two nodes", func(t *testing.T) {
		t.Parallel()
		a, b := twoNodes(t, via(refuser{}))
		ledgerRace(t, a, b)
	})
}

// heldByOther is the interval of a node's checks for rows locked by another.
const heldByOther = 50 * time.Millisecond

func ledgerRace(t *testing.T, nodes ...*bench) {
	const (
		callers, covered = 1000, 437
		price            = verify.Money(3_610_007)
		balance          = covered*price + price - 1
	)
	first := nodes[0]
	for _, n := range nodes {
		n.resume()
	}
	must(t, first.db.ReplacePrices(t.Context(), "", []verify.Price{{Amount: price}}))
	for _, n := range nodes[1:] {
		must(t, n.db.ReplacePrices(t.Context(), "", []verify.Price{{Amount: price}}))
	}
	must(t, first.db.Credit(t.Context(), first.account.Key, balance-first.account.Balance, t0))
	var accepted, refused atomic.Int32
	var mu sync.Mutex
	var begun []verify.Verification
	parallel := func(n int, do func(int)) time.Duration {
		var wg sync.WaitGroup
		before := time.Now()
		for i := range n {
			wg.Go(func() { do(i) })
		}
		wg.Wait()
		return time.Since(before)
	}
	took := parallel(callers, func(i int) {
		n := nodes[i%len(nodes)]
		req := n.request()
		req.To = verify.PhoneAddress(fmt.Sprintf("4477009%05d", i), req.To.Country)
		req.Workflow.Steps = req.Workflow.Steps[:1]
		v, err := n.Start(t.Context(), n.account, req)
		switch {
		case err == nil:
			accepted.Add(1)
			mu.Lock()
			begun = append(begun, v)
			mu.Unlock()
		case kind(err) == verify.KindNoCredit:
			refused.Add(1)
		default:
			t.Error(err)
		}
	})
	book := func() (charges int) {
		t.Helper()
		sum, charges, err := first.db.LedgerSum(t.Context(), first.account.Key)
		must(t, err)
		b, _, err := first.db.Book(t.Context(), first.account.Key)
		if err != nil || b.Sum != b.Balance || sum != b.Sum {
			t.Fatalf("the book is %+v, the sum %s (%v)", b, sum, err)
		}
		return charges
	}
	if accepted.Load() != covered || refused.Load() != callers-covered || book() != covered {
		t.Errorf("%d accepted, %d refused, %d charged; want %d, %d and %d",
			accepted.Load(), refused.Load(), book(), covered, callers-covered, covered)
	}
	for _, n := range nodes {
		n.Delivered(t.Context(), "")
	}
	first.clock.Advance(31 * time.Second)
	back := parallel(len(begun), func(i int) {
		if err := nodes[i%len(nodes)].Cancel(t.Context(), first.account, begun[i].ID); err != nil {
			t.Error(err)
		}
	})
	for { // with the race detector, on a busy machine, longer than await.Limit
		b, _, err := first.db.Book(t.Context(), first.account.Key)
		must(t, err)
		if b.Balance == balance {
			break
		}
		before := b.Balance
		await.Until(t, "refunded: another verification", func() bool {
			first.clock.Advance(heldByOther)
			b, _, err := first.db.Book(t.Context(), first.account.Key)
			must(t, err)
			return b.Balance != before
		})
	}
	book()
	t.Logf("%d starts in %v: %d accepted; %d cancelled in %v and refunded", callers, took, accepted.Load(), len(begun), back)
}

// refuser is a carrier that refuses every message.
type refuser struct{}

func (refuser) Send(context.Context, deliver.Message) (deliver.Submission, error) {
	return deliver.Submission{}, errRefused
}
