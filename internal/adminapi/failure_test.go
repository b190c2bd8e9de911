package adminapi_test

import (
	"net/url"
	"slices"
	"testing"
	"time"

	"countersign/internal/adminapi"
	"countersign/internal/config"
	"countersign/internal/deliver/smpp/smpptest"
	"countersign/internal/server"
	"countersign/internal/verify"
)

// TestVerificationFailures: a verification shows the code and the name of every
// refusal, over real SMPP, whether another carrier took the message or none did.
func TestVerificationFailures(t *testing.T) {
	t.Parallel()
	first := smpptest.Start(t, smpptest.Config{Faults: smpptest.MustFaults("refuse")})
	second := smpptest.Start(t, smpptest.Config{})
	o := start(t, func(opts *server.Options) {
		for name, address := range map[string]string{"a": first.Addr(), "b": second.Addr()} {
			opts.Config.Carriers = append(opts.Config.Carriers, config.Carrier{
				Name: name, Type: config.CarrierSMPP,
				SMPP: config.SMPP{Addresses: []string{address}, SystemID: "esme", Statuses: map[string]string{"0x401": "final"}},
			})
		}
		opts.Config.Routes = []config.Route{{Carriers: []string{"a", "b"}}}
	})
	for i, tt := range []struct {
		faults, others string
		state          verify.EventState
		code           string
		want           []adminapi.Failure
	}{
		{"refuse=100%:0x0B", "", verify.EventAccepted, "", []adminapi.Failure{{Carrier: "a", Error: "ESME_RINVDSTADR (0x0B)"}}},
		{"refuse=100%:0x0B", "refuse=100%:0x45", verify.EventRefused, "ESME_RINVDSTADR (0x0B)", []adminapi.Failure{
			{Carrier: "a", Error: "ESME_RINVDSTADR (0x0B)"}, {Carrier: "b", Error: "ESME_RSUBMITFAIL (0x45)"},
		}},
		{"refuse=100%:0x401", "", verify.EventAccepted, "", []adminapi.Failure{{Carrier: "a", Error: "status 0x00000401"}}},
		{"refuse=1x:0x08", "", verify.EventAccepted, "", []adminapi.Failure{{Carrier: "a", Error: "ESME_RSYSERR (0x08)"}}},
	} {
		first.SetFaults(smpptest.MustFaults(tt.faults))
		second.SetFaults(smpptest.Faults{})
		if tt.others != "" {
			second.SetFaults(smpptest.MustFaults(tt.others))
		}
		number := []string{"447700900000", "447700900001", "447700900002", "447700900003"}[i]
		id := o.Post("/verify/json", url.Values{"number": {number}, "brand": {"Acme"}})["request_id"].(string)
		var v adminapi.Verification
		for end := time.Now().Add(10 * time.Second); time.Now().Before(end); time.Sleep(5 * time.Millisecond) {
			if o.ok("GET", "/verifications/"+id, nil, &v); v.Events[0].State != verify.EventSubmitting {
				break
			}
		}
		e := v.Events[0]
		accepted := e.State == verify.EventAccepted || e.State == verify.EventDelivered // its receipt may be there
		if accepted != (tt.state == verify.EventAccepted) || e.Error != tt.code || !slices.Equal(e.Failures, tt.want) {
			t.Errorf("%s, %s: the event is %+v, want %s, %q and %+v", tt.faults, tt.others, e, tt.state, tt.code, tt.want)
		}
	}
}
