package adminapi_test

import (
	"strings"
	"testing"
	"time"

	"countersign/internal/adminapi"
	"countersign/internal/servertest"
	"countersign/internal/store"
)

// TestRetention checks that a suspended retention is shown and can be confirmed.
func TestRetention(t *testing.T) {
	t.Parallel()
	o := start(t)
	if p := refused(t, o.Client, adminapi.Request{Method: "POST", Path: "/retention/confirm"}); p.Status != 409 {
		t.Errorf("confirmation without a suspension: %+v", p)
	}
	must(t, o.Store().ChangeRetentionState(t.Context(), func(s store.RetentionState) (store.RetentionState, error) {
		s.LastRun, s.Suspended, s.Counted = servertest.Epoch, true, time.Hour
		s.Before, s.After = servertest.Epoch.AddDate(1, 0, 0), servertest.Epoch
		return s, nil
	}))
	var got adminapi.Retention
	o.ok("GET", "/retention", nil, &got)
	if !got.Suspended || got.PlausibleSeconds != 3600 || got.Now == "" || got.LastRun != got.After || got.Before[4:] != got.After[4:] || got.Before <= got.After {
		t.Errorf("suspended: %+v", got)
	}
	if len(o.log()) != 0 {
		t.Errorf("logged %+v", o.log())
	}
	o.ok("POST", "/retention/confirm", nil, nil)
	var after adminapi.Retention
	o.ok("GET", "/retention", nil, &after)
	if after.Suspended || after.Before != "" || after.PlausibleSeconds != 0 {
		t.Errorf("confirmed: %+v", after)
	}
	log := o.log()
	if len(log) != 1 || log[0].Action != "retention.confirm" || !strings.Contains(string(log[0].Detail), got.Now[:10]) {
		t.Errorf("logged %+v", log)
	}
}
