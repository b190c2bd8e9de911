package server_test

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"sync/atomic"
	"testing"

	"countersign/internal/server"
	"countersign/internal/servertest"
)

// BenchmarkLife measures verifications started, delivered and checked over HTTP, by 64
// clients, with every commit on disk. "make profile" uses it.
func BenchmarkLife(b *testing.B) {
	s := servertest.Start(b, servertest.Quiet())
	if err := server.SeedDemo(b.Context(), s.Store(), true, servertest.Epoch); err != nil {
		b.Fatal(err)
	}
	client := &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: 64}}
	post := func(path string, form url.Values) (requestID string, err error) {
		form.Set("api_key", server.DemoAccount)
		form.Set("api_secret", server.DemoSecret)
		resp, err := client.Post(s.URL()+path, "application/x-www-form-urlencoded", strings.NewReader(form.Encode()))
		if err != nil {
			return "", err
		}
		defer resp.Body.Close()
		body, err := io.ReadAll(resp.Body)
		if err != nil {
			return "", err
		}
		var answer struct {
			RequestID string `json:"request_id"`
			Status    string
		}
		if err := json.Unmarshal(body, &answer); err != nil || answer.Status != "0" {
			return "", fmt.Errorf("%s returns %s", path, body)
		}
		return answer.RequestID, nil
	}
	var n atomic.Int64
	b.SetParallelism(32)
	b.ReportAllocs()
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			id, err := post("/verify/json", url.Values{
				"brand": {"Acme"}, "number": {fmt.Sprintf("44770%07d", n.Add(1))}, "pin_code": {"1234"},
			})
			if err == nil {
				_, err = post("/verify/check/json", url.Values{"request_id": {id}, "code": {"1234"}})
			}
			if err != nil {
				b.Error(err)
				return
			}
		}
	})
}
