package adminapi_test

import (
	"net/url"
	"slices"
	"testing"

	"countersign/internal/adminapi"
	"countersign/internal/await"
	"countersign/internal/config"
	"countersign/internal/deliver/sip/softphone"
	"countersign/internal/deliver/smpp/smsc"
	"countersign/internal/server"
	"countersign/internal/verify"
)

// TestVerificationFailures checks that a verification shows code and name of every
// refusal, over real SMPP, whether or not another carrier accepted the message.
func TestVerificationFailures(t *testing.T) {
	t.Parallel()
	first := smsc.Start(t, smsc.Config{Faults: smsc.MustFaults("refuse")})
	second := smsc.Start(t, smsc.Config{})
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
		{"refuse=100%:0x0B", "", verify.EventAccepted, "", []adminapi.Failure{{Carrier: "a", Error: "ESME_RINVDSTADR (0x0B)", Attempt: 1}}},
		{"refuse=100%:0x0B", "refuse=100%:0x45", verify.EventRefused, "ESME_RINVDSTADR (0x0B)", []adminapi.Failure{
			{Carrier: "a", Error: "ESME_RINVDSTADR (0x0B)", Attempt: 1}, {Carrier: "b", Error: "ESME_RSUBMITFAIL (0x45)", Attempt: 1},
		}},
		{"refuse=100%:0x401", "", verify.EventAccepted, "", []adminapi.Failure{{Carrier: "a", Error: "status 0x00000401", Attempt: 1}}},
		{"refuse=1x:0x58", "", verify.EventAccepted, "", []adminapi.Failure{{Carrier: "a", Error: "ESME_RTHROTTLED (0x58)", Attempt: 1}}},
		{"refuse=1x:0x08", "", verify.EventAccepted, "", []adminapi.Failure{{Carrier: "a", Error: "ESME_RSYSERR (0x08)", Attempt: 1}}},
	} {
		first.SetFaults(smsc.MustFaults(tt.faults))
		second.SetFaults(smsc.Faults{})
		if tt.others != "" {
			second.SetFaults(smsc.MustFaults(tt.others))
		}
		number := []string{"447700900000", "447700900001", "447700900002", "447700900003", "447700900008"}[i]
		id := o.Post("/verify/json", url.Values{"number": {number}, "brand": {"Acme"}})["request_id"].(string)
		e := o.firstEvent(id)
		accepted := e.State == verify.EventAccepted || e.State == verify.EventDelivered // the receipt may have arrived
		if accepted != (tt.state == verify.EventAccepted) || e.Error != tt.code || !slices.Equal(e.Failures, tt.want) {
			t.Errorf("%s, %s: the event is %+v, want %s, %q and %+v", tt.faults, tt.others, e, tt.state, tt.code, tt.want)
		}
	}
}

// TestVerificationFailuresOfCalls checks that a verification shows the response of a
// trunk that refuses the password.
func TestVerificationFailuresOfCalls(t *testing.T) {
	t.Parallel()
	trunk, err := softphone.Start(softphone.Config{User: "acme", Password: "secret"})
	must(t, err)
	t.Cleanup(func() { trunk.Close() })
	o := start(t, func(opts *server.Options) {
		opts.Config.Carriers = append(opts.Config.Carriers, config.Carrier{
			Name: "v", Type: config.CarrierSIP,
			SIP: config.SIP{
				Host: trunk.Addr(), User: "acme", Password: "other", Listen: "127.0.0.1:0",
				CallerIDs: []config.CallerID{{Number: "442071838750"}},
			},
		})
		opts.Config.Routes = []config.Route{{Carriers: []string{"v"}}}
	})
	const code = "401 Unauthorized"
	id := o.Post("/verify/json", url.Values{"number": {"447700900004"}, "brand": {"Acme"}, "workflow_id": {"7"}})["request_id"].(string)
	e := o.firstEvent(id)
	if want := []adminapi.Failure{{Carrier: "v", Error: code, Text: code + ": the trunk refused user and password", Attempt: 1}}; e.State != verify.EventRefused || e.Error != code || !slices.Equal(e.Failures, want) {
		t.Errorf("the event is %+v, want refused, %q and %+v", e, code, want)
	}
}

// firstEvent returns the first event of a verification with an outcome.
func (o *office) firstEvent(id string) adminapi.Event {
	o.t.Helper()
	var v adminapi.Verification
	await.Until(o.t, "known: the outcome of the event", func() bool {
		o.ok("GET", "/verifications/"+id, nil, &v)
		return v.Events[0].State != verify.EventSubmitting
	})
	return v.Events[0]
}
