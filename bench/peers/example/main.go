// Command example is a minimal verification server. It stores codes in memory, sends no
// messages and has no limits. It shows how to describe a peer to bench/speed (see
// ../example.json), and the throughput without durability.
//
//	example ADDRESS
package main

import (
	"fmt"
	"net/http"
	"os"
	"strconv"
	"sync"
	"time"
)

func main() {
	if len(os.Args) != 2 {
		fmt.Fprintln(os.Stderr, "usage: example ADDRESS")
		os.Exit(2)
	}
	s := &http.Server{Addr: os.Args[1], Handler: handler(), ReadHeaderTimeout: 5 * time.Second}
	if err := s.ListenAndServe(); err != nil {
		fmt.Fprintln(os.Stderr, "example:", err)
		os.Exit(1)
	}
}

func handler() http.Handler {
	var (
		mu    sync.Mutex
		codes = map[string]string{} // keys are ids
	)
	mux := http.NewServeMux()
	mux.HandleFunc("GET /health", func(http.ResponseWriter, *http.Request) {})
	mux.HandleFunc("POST /start", func(w http.ResponseWriter, r *http.Request) {
		if r.PostFormValue("number") == "" {
			w.WriteHeader(http.StatusBadRequest)
			return
		}
		mu.Lock()
		defer mu.Unlock()
		id := strconv.Itoa(len(codes) + 1)
		codes[id] = r.PostFormValue("code")
		_, _ = fmt.Fprintf(w, `{"id":%q}`, id)
	})
	mux.HandleFunc("POST /check", func(w http.ResponseWriter, r *http.Request) {
		mu.Lock()
		defer mu.Unlock()
		id, code := r.PostFormValue("id"), r.PostFormValue("code")
		right := code != "" && codes[id] == code
		if right {
			codes[id] = "" // each code succeeds once
		}
		_, _ = fmt.Fprintf(w, `{"verified":%t}`, right)
	})
	return mux
}
