package server_test

import (
	"bytes"
	"compress/gzip"
	"context"
	"fmt"
	"io"
	"net/http"
	"path/filepath"
	"testing"
	"time"

	"countersign/internal/await"
	"countersign/internal/server"
	"countersign/internal/vault"
	"countersign/internal/web"
)

// TestCPUProfile covers the CPU profile of the operations listener. Its parts follow each
// other, since a process has one CPU profile at a time.
func TestCPUProfile(t *testing.T) {
	t.Parallel()
	opts := options(filepath.Join(t.TempDir(), "countersign.db"), vault.NewKey())
	opts.Config.OpsListen = "localhost:0"
	l := &opts.Config.Limits
	l.ReadTimeout, l.WriteTimeout, l.UnauthenticatedIdleTimeout = 50*time.Millisecond, 50*time.Millisecond, 50*time.Millisecond
	r := run(t, opts)
	for _, query := range []string{
		"seconds=x", "seconds=0", "seconds=-1", "seconds=60.1", "seconds=9223372036", "seconds=NaN", "seconds=Inf", "seconds=1e400",
		"seconds=1&seconds=2", "seconds=1;2", "seconds=%",
	} {
		if code := r.ops(web.ProfilePath + "?" + query); code != http.StatusBadRequest {
			t.Errorf("%s: %d, want 400", query, code)
		}
	}
	if code, _ := r.profile(t.Context(), "0.01", http.Header{"Sec-Fetch-Site": {"cross-site"}}); code != http.StatusForbidden {
		t.Errorf("for a page of another site: %d, want 403", code)
	}
	checkProfileData(t, r)
	checkDisconnect(t, r)
	checkSecondAndStop(t, r)
}

// profile returns the status of a request for a profile and its body, uncompressed.
func (r *running) profile(ctx context.Context, seconds string, header http.Header) (code int, body []byte) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, r.OpsURL()+web.ProfilePath+"?seconds="+seconds, nil)
	if err != nil {
		r.t.Error(err)
		return 0, nil
	}
	for name, values := range header {
		req.Header[name] = values
	}
	resp, err := r.client.Do(req)
	if err != nil {
		if ctx.Err() == nil {
			r.t.Errorf("seconds=%s: %v", seconds, err)
		}
		return 0, nil
	}
	defer resp.Body.Close()
	body, err = io.ReadAll(resp.Body)
	if resp.StatusCode == http.StatusOK {
		unzipped, zipErr := gzip.NewReader(bytes.NewReader(body))
		if err = zipErr; err == nil {
			body, err = io.ReadAll(unzipped)
		}
	}
	if err != nil {
		r.t.Errorf("seconds=%s: %d, %v", seconds, resp.StatusCode, err)
	}
	return resp.StatusCode, body
}

// checkProfileData: the limits of a request do not end a profile. It has no account, number
// or id of the verifications that start during the profile.
func checkProfileData(t *testing.T, r *running) {
	t.Helper()
	const length = 400 * time.Millisecond
	var (
		code int
		body []byte
		took time.Duration
	)
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		began := time.Now()
		code, body = r.profile(t.Context(), fmt.Sprint(length.Seconds()), nil)
		took = time.Since(began)
	}()
	secrets := []string{server.DemoAccount, server.DemoSecret}
	for i, running := 0, true; running; i++ {
		number := fmt.Sprintf("4477009%05d", i)
		if id, err := r.start(number); err == nil { // the limits are short for a busy machine
			secrets = append(secrets, number, id)
		}
		select {
		case <-ended:
			running = false
		default:
		}
	}
	if code != http.StatusOK || took < length || !bytes.Contains(body, []byte("nanoseconds")) {
		t.Errorf("profile of %v: %d, %d octets after %v", length, code, len(body), took)
	}
	for _, secret := range secrets {
		if bytes.Contains(body, []byte(secret)) {
			t.Errorf("the profile has %q", secret)
		}
	}
	if len(secrets) < 4 {
		t.Error("no verification was started")
	}
}

// checkDisconnect: the end of a connection ends its profile.
func checkDisconnect(t *testing.T, r *running) {
	t.Helper()
	ctx, disconnect := context.WithCancel(t.Context())
	ended := r.longProfile(ctx)
	await.Until(t, "409 while a profile runs", r.profileRuns)
	disconnect()
	<-ended
	await.Until(t, "200 after the client disconnected", func() bool { return !r.profileRuns() })
}

// checkSecondAndStop: one profile runs at a time, and the stop of the server ends it.
func checkSecondAndStop(t *testing.T, r *running) {
	t.Helper()
	ended := r.longProfile(t.Context())
	await.Until(t, "409 while a profile runs", r.profileRuns)
	began := time.Now()
	r.halt() // reports an error if the profile delays the stop
	if code, took := <-ended, time.Since(began); code != http.StatusOK || took > 30*time.Second {
		t.Errorf("the profile ended %v after the stop with %d", took, code)
	}
}

// longProfile starts a profile of a minute. It returns a channel for its status; 0 if ctx
// ends first.
func (r *running) longProfile(ctx context.Context) <-chan int {
	ended := make(chan int, 1)
	go func() {
		code := http.StatusConflict
		for code == http.StatusConflict { // with a profile of profileRuns
			code, _ = r.profile(ctx, "60", nil)
		}
		ended <- code
	}()
	return ended
}

// profileRuns reports whether another profile is refused.
func (r *running) profileRuns() bool {
	return r.ops(web.ProfilePath+"?seconds=0.001") == http.StatusConflict
}

// TestNoCPUProfile: a listener that other machines may reach serves no profile.
func TestNoCPUProfile(t *testing.T) {
	t.Parallel()
	for _, address := range []string{":0", "0.0.0.0:0", "[::]:0"} {
		opts := options(filepath.Join(t.TempDir(), "countersign.db"), vault.NewKey())
		opts.Config.OpsListen = address
		r := run(t, opts)
		if code := r.ops(web.ProfilePath + "?seconds=0.001"); code != http.StatusNotFound {
			t.Errorf("%s: %d, want 404", address, code)
		}
		if code := r.ops("/healthz"); code != http.StatusOK {
			t.Errorf("%s: /healthz: %d", address, code)
		}
		r.halt()
	}
}
