package engine_test

import (
	"bytes"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"countersign/internal/engine"
	"countersign/internal/store"
	"countersign/internal/verify"
)

// TestAlarm: repeated wrong credentials for an account raise an alarm and do not lock the
// account.
func TestAlarm(t *testing.T) {
	t.Parallel()
	var log bytes.Buffer
	reg := prometheus.NewRegistry()
	b := setUp(t, func(_ *bench, c *engine.Config) {
		c.Log, c.Metrics = slog.New(slog.NewTextHandler(&log, nil)), reg
	})
	must(t, b.db.CreateAccount(t.Context(), store.NewAccount{Account: verify.Account{Key: "other001"}, Secret: "other"}, t0))
	try := func(key, secret string, want bool) {
		t.Helper()
		if _, err := b.Admit(t.Context(), engine.Proof{Key: key, Secret: secret}); (err == nil) != want {
			t.Fatalf("%s: %v", key, err)
		}
	}
	for i, step := range []struct {
		fails  int
		after  time.Duration // before each failure
		alarms int           // total so far
	}{
		{19, time.Minute, 0},
		{1, time.Minute, 1},
		{100, 0, 1},           // at most one an hour
		{1, time.Hour + 1, 1}, // the earlier failures have expired
		{19, time.Second, 2},  // twenty again
		{60, 4 * time.Minute, 2},
	} {
		for range step.fails {
			b.clock.Advance(step.after)
			try("demo0001", "wrong", false)
			try("nobody00", "canary", false)
		}
		try("demo0001", "secret", true)
		try("other001", "other", true)
		if n := strings.Count(log.String(), "wrong credentials for an account"); n != step.alarms {
			t.Errorf("step %d: %d alarms, want %d", i, n, step.alarms)
		}
	}
	if strings.Contains(log.String(), "nobody") || strings.Contains(log.String(), "canary") || !strings.Contains(log.String(), "account=demo0001") {
		t.Errorf("logged: %s", log.String())
	}
	families, err := reg.Gather()
	must(t, err)
	for _, f := range families {
		if f.GetName() == "countersign_credential_alarms_total" && f.Metric[0].Counter.GetValue() != 2 {
			t.Errorf("counted %v", f)
		}
	}
}
