package adminapi_test

import (
	"io"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"countersign/internal/adminapi"
	"countersign/internal/server"
)

func TestKeys(t *testing.T) {
	t.Parallel()
	o := start(t)
	current := func() (ids []int64) {
		var keys adminapi.Keys
		o.ok("GET", "/keys", nil, &keys)
		if len(keys.Files) != 1 || !keys.Files[0].Ours {
			t.Errorf("key files %+v", keys.Files)
		}
		for _, k := range keys.Data {
			if k.Current && k.Purpose == "pin" {
				ids = append(ids, k.ID)
			}
		}
		return ids
	}
	before := current()
	o.ok("POST", "/keys/rotate", nil, nil)
	if after := current(); len(before) != 1 || len(after) != 1 || before[0] == after[0] {
		t.Errorf("PIN keys after %v, before %v", after, before)
	}
	if log := o.log(); len(log) != 1 || log[0].Action != "keys.rotate" {
		t.Errorf("logged %+v", log)
	}
}

func TestForgetNumber(t *testing.T) {
	t.Parallel()
	o := start(t)
	const number = "447700900000"
	id := o.Post("/verify/json", url.Values{"number": {number}, "brand": {"Acme"}})["request_id"].(string)
	o.WaitMessages(number, 1)
	p := refused(t, o.Client, adminapi.Request{Method: "POST", Path: "/numbers/" + number + "/forget", JSON: adminapi.ForgetNumber{}})
	if p.Status != 409 || p.Parameter != "cancel" {
		t.Errorf("during a verification: %+v", p)
	}
	var done adminapi.Forgotten
	o.ok("POST", "/numbers/"+number+"/forget", adminapi.ForgetNumber{Cancel: true}, &done)
	if done.Cancelled != 1 || done.Messages != 1 {
		t.Errorf("forgotten %+v", done)
	}
	if got := metrics(t, o.OpsURL()); !strings.Contains(got, "\ncountersign_verifications_ended_total{status=\"CANCELLED\"} 1\n") {
		t.Errorf("the metrics do not count the cancelled verification:\n%s", got)
	}
	var v adminapi.Verification
	o.ok("GET", "/verifications/"+id, nil, &v)
	if v.Number != "" || v.Status != "CANCELLED" {
		t.Errorf("it is still %+v", v)
	}
	if log := o.log(); len(log) != 1 || log[0].Action != "number.forget" || log[0].Subject != "4477••••00" || string(log[0].Detail) != `{"cancel":true,"unblock":false}` {
		t.Errorf("logged %+v", log)
	}
}

func TestNumberStatus(t *testing.T) {
	t.Parallel()
	o := start(t, func(opts *server.Options) { opts.Unlimited = false })
	const number = "447700900000"
	o.Post("/verify/json", url.Values{"number": {number}, "brand": {"Acme"}})
	o.WaitMessages(number, 1)
	count := func() (n int) {
		var s adminapi.NumberStatus
		o.ok("GET", "/numbers/+"+number+"/status", nil, &s)
		for _, c := range s.Caps {
			if c.Account == "" && c.Cap == "sends_24h" {
				n = c.Count
			}
		}
		return n
	}
	if n := count(); n != 1 {
		t.Errorf("%d messages are counted", n)
	}
	o.ok("POST", "/numbers/"+number+"/unlock", nil, nil)
	if n := count(); n != 0 {
		t.Errorf("%d messages are counted after unlock", n)
	}
	if p := refused(t, o.Client, adminapi.Request{Method: "POST", Path: "/numbers/" + number + "/unlock"}); p.Status != 404 {
		t.Errorf("unlocked again: %+v", p)
	}
	if log := o.log(); len(log) != 1 || log[0].Action != "number.unlock" {
		t.Errorf("logged %+v", log)
	}
}

func TestSetPrice(t *testing.T) {
	t.Parallel()
	o := start(t)
	o.ok("POST", "/prices", map[string]string{"for": "GB", "price": "0.05", "valid_from": "2026-01-01"}, nil)
	for field, body := range map[string]map[string]string{
		"price": {"for": "GB", "price": "x"}, "for": {"price": "1"}, "valid_from": {"for": "GB", "price": "1", "valid_from": "x"},
		"valid_until": {"for": "GB", "price": "1", "valid_until": "x"}, "carrier": {"for": "GB", "price": "1", "carrier": "nobody"}, "": {"for": "Britain", "price": "1"},
	} {
		if p := refused(t, o.Client, adminapi.Request{Method: "POST", Path: "/prices", JSON: body}); p.Status != 400 || p.Parameter != field {
			t.Errorf("%v: %+v", body, p)
		}
	}
	var list strings.Builder
	o.ok("GET", "/prices", nil, &list)
	if !strings.Contains(list.String(), "GB,0.05000000,2026-01-01") {
		t.Errorf("the list is %s", list.String())
	}
}

func metrics(t *testing.T, opsURL string) string {
	t.Helper()
	resp, err := http.Get(opsURL + "/metrics")
	must(t, err)
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	must(t, err)
	return string(text)
}
