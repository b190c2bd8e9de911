package adminapi_test

import (
	"testing"
	"time"

	"countersign/internal/adminapi"
	"countersign/internal/fraud"
	"countersign/internal/servertest"
	"countersign/internal/store"
)

// TestFraud checks that a block shows its rule, figures and duration and can be lifted
// once, and that a network can be unblocked for an account.
func TestFraud(t *testing.T) {
	t.Parallel()
	o := start(t)
	block := func(id, value string) fraud.Block {
		return fraud.Block{
			ID: id, Target: fraud.Target{Account: "demo0001", Kind: fraud.KindPrefix, Value: value}, Rule: fraud.RuleConversion,
			Action: fraud.ActionBlock, Network: value, Since: servertest.Epoch, Until: servertest.Epoch.Add(time.Hour), Repeat: 2, Ordinal: 3,
			Figures: fraud.Figures{Window: "1h0m0s", Counts: fraud.Counts{Starts: 50, Finished: 40, Successes: 1}, Conversion: 2.5, Limit: 10},
		}
	}
	counted := fraud.Entry{
		Minute: servertest.Epoch.Unix() / 60, Account: "demo0001", Country: "GB", Prefix: "4477009",
		Counts: fraud.Counts{Starts: 50, Sends: 60, Calls: 3, Finished: 40, Successes: 1},
	}
	must(t, o.Store().TellFraud(t.Context(), store.FraudNews{
		Node: "a", Seq: 1, At: servertest.Epoch, Entries: []fraud.Entry{counted},
		Blocks: []fraud.Block{block("one", "4477009"), block("two", "4477008")},
	}))

	var list adminapi.FraudBlocks
	o.ok("GET", "/fraud/blocks", nil, &list)
	var one adminapi.FraudBlock
	o.ok("GET", "/fraud/blocks/one", nil, &one)
	want := adminapi.FraudBlock{
		ID: "one", Rule: "conversion", Action: "block", Account: "demo0001", Kind: "prefix", Value: "4477009", Network: "4477009",
		Since: "2026-01-02T03:04:05.000Z", Until: "2026-01-02T04:04:05.000Z", Repeat: 2, Holds: true, Figures: block("", "").Figures,
	}
	if len(list.Blocks) != 2 || one != want {
		t.Errorf("listed %+v, and one is %+v", list, one)
	}
	var networks adminapi.FraudNetworks
	o.ok("GET", "/fraud/networks?minutes=10&limit=5", nil, &networks)
	place := adminapi.FraudNetwork{
		Account: "demo0001", Network: "4477009", Country: "GB", Starts: 50, SMS: 60, Calls: 3, Successes: 1, Finished: 40, Conversion: 2.5,
	}
	if len(networks.Networks) != 1 || networks.Networks[0] != place {
		t.Errorf("networks %+v", networks)
	}

	o.ok("POST", "/fraud/blocks/one/lift", nil, nil)
	o.ok("POST", "/fraud/unblocks", map[string]any{"account": "demo0001", "network": "4477008", "seconds": 60}, nil)
	o.ok("GET", "/fraud/blocks/one", nil, &one)
	if one.Holds || one.LiftedAt != "2026-01-02T03:04:05.000Z" || one.LiftedBy == "" {
		t.Errorf("lifted: %+v", one)
	}
	if o.ok("GET", "/fraud/blocks", nil, &list); len(list.Blocks) != 0 {
		t.Errorf("active blocks %+v", list)
	}
	if o.ok("GET", "/fraud/blocks?all=true", nil, &list); len(list.Blocks) != 2 {
		t.Errorf("all are %+v", list)
	}
	for _, tt := range []struct {
		method, path string
		body         any
		status       int
	}{
		{"POST", "/fraud/blocks/one/lift", nil, 409},
		{"POST", "/fraud/blocks/three/lift", nil, 404},
		{"GET", "/fraud/blocks/three", nil, 404},
		{"GET", "/fraud/blocks?all=maybe", nil, 400},
		{"GET", "/fraud/networks?minutes=0", nil, 400},
		{"POST", "/fraud/unblocks", map[string]any{"account": "demo0001", "network": "4477008", "seconds": 60}, 404},
		{"POST", "/fraud/unblocks", map[string]any{"account": "demo0001", "network": "4477008", "seconds": -1}, 400},
		{"POST", "/fraud/unblocks", map[string]any{"network": "4477008"}, 400},
		{"POST", "/fraud/unblocks", map[string]any{"account": "nobody00", "network": "4477008", "seconds": 60}, 404},
	} {
		if p := refused(t, o.Client, adminapi.Request{Method: tt.method, Path: tt.path, JSON: tt.body}); p.Status != tt.status {
			t.Errorf("%s %s: %+v, want %d", tt.method, tt.path, p, tt.status)
		}
	}
	if log := o.log(); len(log) != 2 || log[0].Action != "fraud.unblock" && log[0].Action != "fraud.lift" {
		t.Errorf("logged %+v", log)
	}
}
