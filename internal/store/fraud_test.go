package store_test

import (
	"errors"
	"reflect"
	"testing"
	"time"

	"countersign/internal/fraud"
	"countersign/internal/store"
	"countersign/internal/verify"
)

// counted is an entry of a prefix in a minute after the start.
func counted(minute int64, prefix string, n fraud.Counts) fraud.Entry {
	return fraud.Entry{Minute: t0.Unix()/60 + minute, Account: "demo0001", Country: "GB", Prefix: prefix, Counts: n}
}

// testFraudNews: each node reads the messages of the others once, in order. Messages that
// are already stored have no effect.
func testFraudNews(t *testing.T, db *store.DB) {
	first := []fraud.Entry{counted(0, "4477009", fraud.Counts{Starts: 2, Successes: 1}), {Minute: 1, Range: "4477009000", Last: 7}}
	second := []fraud.Entry{counted(1, "4477009", fraud.Counts{Starts: -1})}
	for _, n := range []store.FraudNews{
		{Node: "a", Seq: 1, At: at(1), Entries: first},
		{Node: "a", Seq: 1, At: at(2), Entries: second}, // repeated, as after an unknown outcome
		{Node: "a", Seq: 2, At: at(3), Entries: second},
		{Node: "b", Seq: 1, At: at(3), Entries: second},
	} {
		must(t, db.TellFraud(t.Context(), n))
	}
	nodes, err := db.FraudNodes(t.Context())
	if want := map[string]int64{"a": 2, "b": 1}; err != nil || !reflect.DeepEqual(nodes, want) {
		t.Errorf("nodes are %v (%v), want %v", nodes, err, want)
	}
	for _, tt := range []struct {
		after int64
		from  time.Time
		limit int
		want  []fraud.Entry
		last  int64
	}{
		{0, t0, 10, append(append([]fraud.Entry(nil), first...), second...), 2},
		{0, t0, 1, first, 1},
		{1, t0, 10, second, 2},
		{2, t0, 10, nil, 2},
		{0, at(2), 10, second, 2},
	} {
		got, last, err := db.FraudEntries(t.Context(), "a", tt.after, tt.from, tt.limit)
		if err != nil || last != tt.last || !reflect.DeepEqual(got, tt.want) {
			t.Errorf("after %d from %v: %+v, last %d (%v); want %+v, last %d", tt.after, tt.from, got, last, err, tt.want, tt.last)
		}
	}
	must(t, db.ForgetFraud(t.Context(), at(2), t0, t0))
	if got, _, err := db.FraudEntries(t.Context(), "a", 0, t0, 10); err != nil || !reflect.DeepEqual(got, second) {
		t.Errorf("after forgetting the first: %+v (%v)", got, err)
	}
}

// testFraudHours: hourly sums include all nodes.
func testFraudHours(t *testing.T, db *store.DB) {
	hour := func(h int64, node string, seq, starts int64) store.FraudNews {
		e := counted(60*h, "4477009", fraud.Counts{Starts: starts, Spend: 10 * starts})
		return store.FraudNews{Node: node, Seq: seq, At: t0, Entries: []fraud.Entry{e, counted(60*h, "4477008", e.Counts)}}
	}
	for i, n := range []struct{ ago, starts int64 }{{60, 1}, {30, 3}, {29, 5}, {1, 100}, {0, 200}} {
		must(t, db.TellFraud(t.Context(), hour(-n.ago, "a", int64(i+1), n.starts)))
		must(t, db.TellFraud(t.Context(), hour(-n.ago, "b", int64(i+1), n.starts)))
	}
	volumes, err := db.FraudVolumes(t.Context(), t0.Add(-12*time.Hour), t0, 1200)
	if want := []store.FraudVolume{{"demo0001", "GB", 1200}}; err != nil || !reflect.DeepEqual(volumes, want) {
		t.Errorf("volumes are %v (%v), want %v", volumes, err, want)
	}
	if volumes, err := db.FraudVolumes(t.Context(), t0.Add(-12*time.Hour), t0, 1201); err != nil || len(volumes) != 0 {
		t.Errorf("volumes are %v (%v), want none", volumes, err)
	}
	half, err := db.FraudHalfDays(t.Context(), "demo0001", "GB", t0.Add(-100*time.Hour), t0.Add(-12*time.Hour))
	if want := []int64{0, 32, 0, 0, 4}; err != nil || !reflect.DeepEqual(half, want) {
		t.Errorf("half-days are %v (%v), want %v", half, err, want)
	}
	half, err = db.FraudHalfDays(t.Context(), "demo0001", "FR", t0.Add(-100*time.Hour), t0.Add(-12*time.Hour))
	if want := make([]int64, 5); err != nil || !reflect.DeepEqual(half, want) {
		t.Errorf("half-days of another country are %v (%v), want %v", half, err, want)
	}
	spent, err := db.FraudSpend(t.Context(), t0, 3) // t0 is 3 o'clock
	if want := map[string][]verify.Money{"demo0001": {12_000, 0, 320}}; err != nil || !reflect.DeepEqual(spent, want) {
		t.Errorf("spending is %v (%v), want %v", spent, err, want)
	}
}

func block(id, account string, ordinal int, until time.Time) fraud.Block {
	return fraud.Block{
		ID: id, Target: fraud.Target{Account: account, Kind: fraud.KindNetwork, Value: "23410"}, Rule: fraud.RuleConversion,
		Action: fraud.ActionBlock, Network: "23410", Since: at(float64(ordinal)), Until: until, Repeat: ordinal, Ordinal: ordinal,
		Figures: fraud.Figures{Window: "1h0m0s", Counts: fraud.Counts{Starts: 50, Finished: 40, Successes: 1}, Conversion: 2.5, Limit: 10},
	}
}

func blockIDs(list []fraud.Block) (names []string) {
	for _, b := range list {
		names = append(names, b.ID)
	}
	return names
}

// testFraudBlocks: a stored block is read without a difference, two nodes with the same
// decision make one block, and a block in force can be lifted once.
func testFraudBlocks(t *testing.T, db *store.DB) {
	over, forever := block("a", "demo0001", 1, at(60)), block("b", "demo0001", 2, time.Time{})
	twin := block("c", "demo0001", 2, at(99))
	must(t, db.TellFraud(t.Context(), store.FraudNews{Node: "a", Seq: 1, At: at(2), Blocks: []fraud.Block{over, forever}}))
	must(t, db.TellFraud(t.Context(), store.FraudNews{Node: "b", Seq: 1, At: at(3), Blocks: []fraud.Block{twin}}))

	got, err := db.FraudBlock(t.Context(), "b")
	if err != nil || !reflect.DeepEqual(got, forever) {
		t.Errorf("the block is %+v (%v), want %+v", got, err, forever)
	}
	if _, err := db.FraudBlock(t.Context(), "c"); !errors.Is(err, store.ErrNoBlock) {
		t.Errorf("the block of the other node: %v", err)
	}
	list := func(what string, want []string) func([]fraud.Block, error) {
		return func(got []fraud.Block, err error) {
			t.Helper()
			if must(t, err); !reflect.DeepEqual(blockIDs(got), want) {
				t.Errorf("%s: %v, want %v", what, blockIDs(got), want)
			}
		}
	}
	list("all that hold", []string{"b"})(db.FraudBlocks(t.Context(), false, at(60), 10))
	list("all", []string{"b", "a"})(db.FraudBlocks(t.Context(), true, at(60), 10))
	list("changed since", nil)(db.FraudBlocksSince(t.Context(), at(4)))
	list("for a node that starts", []string{"a", "b"})(db.FraudBlocksHeld(t.Context(), at(30)))
	list("for one that starts late", []string{"b"})(db.FraudBlocksHeld(t.Context(), at(61)))

	if err := db.LiftFraudBlock(t.Context(), "x", "cli", at(70)); !errors.Is(err, store.ErrNoBlock) {
		t.Errorf("lift an unknown block: %v", err)
	}
	if err := db.LiftFraudBlock(t.Context(), "a", "cli", at(70)); !errors.Is(err, store.ErrBlockOver) {
		t.Errorf("lift a block that has ended: %v", err)
	}
	must(t, db.LiftFraudBlock(t.Context(), "b", "cli", at(70)))
	list("that hold, lifted", nil)(db.FraudBlocks(t.Context(), false, at(70), 10))
	list("changed since, lifted", []string{"b"})(db.FraudBlocksSince(t.Context(), at(70)))
	if got, err := db.FraudBlock(t.Context(), "b"); err != nil || !got.LiftedAt.Equal(at(70)) || got.LiftedBy != "cli" {
		t.Errorf("lifted: %+v (%v)", got, err)
	}
	must(t, db.ForgetFraud(t.Context(), t0, t0, at(65)))
	list("after forgetting", []string{"b"})(db.FraudBlocks(t.Context(), true, at(70), 10))
}

// testFraudUnblock: an account lifts its own blocks of a network, passes the blocks of all
// accounts, and gets found = false if there is no block.
func testFraudUnblock(t *testing.T, db *store.DB) {
	all := block("b", "", 1, at(500))
	all.Rule = fraud.RuleConversionAll
	other := block("c", "other001", 1, at(500))
	must(t, db.TellFraud(t.Context(), store.FraudNews{
		Node: "a", Seq: 1, At: t0, Blocks: []fraud.Block{block("a", "demo0001", 1, at(500)), all, other},
	}))
	unblock := func(account, network string, now time.Time) bool {
		t.Helper()
		found, err := db.UnblockNetwork(t.Context(), fraud.Unblock{Account: account, Network: network, Until: now.Add(time.Hour)}, "api", now)
		must(t, err)
		return found
	}
	if unblock("demo0001", "23411", at(10)) || unblock("demo0001", "23410", at(500)) {
		t.Error("a network without a block was unblocked")
	}
	if !unblock("demo0001", "23410", at(10)) || !unblock("demo0001", "23410", at(20)) {
		t.Error("the network was not unblocked")
	}
	held, err := db.FraudBlocks(t.Context(), false, at(20), 10)
	if must(t, err); len(held) != 2 {
		t.Errorf("%v hold, want the block of all accounts and the block of the other account", blockIDs(held))
	}
	got, err := db.FraudUnblocksSince(t.Context(), at(15))
	if want := []fraud.Unblock{{Account: "demo0001", Network: "23410", Since: at(20), Until: at(20 + 3600)}}; err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("unblocks are %v (%v), want %v", got, err, want)
	}
}
