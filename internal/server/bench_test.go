package server_test

import (
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

// BenchmarkStart measures accepted and delivered requests over HTTP, with 64 clients and
// every commit on disk.
func BenchmarkStart(b *testing.B) {
	s := servertest.Start(b, servertest.Quiet())
	if err := server.SeedDemo(b.Context(), s.Store(), true, servertest.Epoch); err != nil {
		b.Fatal(err)
	}
	client := &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: 64}}
	var n atomic.Int64
	b.SetParallelism(32)
	b.ReportAllocs()
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			form := url.Values{
				"api_key": {server.DemoAccount}, "api_secret": {server.DemoSecret}, "brand": {"Acme"},
				"number": {fmt.Sprintf("44770%07d", n.Add(1))},
			}
			resp, err := client.Post(s.URL()+"/verify/json", "application/x-www-form-urlencoded", strings.NewReader(form.Encode()))
			if err != nil {
				b.Error(err)
				return
			}
			if n, err := io.Copy(io.Discard, resp.Body); n != 62 || err != nil { // {"request_id":"…","status":"0"}
				b.Errorf("response of %d bytes, %v", n, err)
			}
			_ = resp.Body.Close()
		}
	})
}
