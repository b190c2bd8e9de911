package web

import (
	"bytes"
	"fmt"
	"net/http"
	"net/url"
	"runtime/pprof"
	"strconv"
	"time"
)

// ProfilePath is the path of [CPUProfile], where "go tool pprof" expects a CPU profile.
const ProfilePath = "/debug/pprof/profile"

// Length of a CPU profile. net/http/pprof has the same default.
const (
	defaultProfile = 30 * time.Second
	maxProfile     = time.Minute
)

// CPUProfile returns the handler of [ProfilePath]. It samples the CPU time of the process
// for the seconds in the parameter "seconds" (above 0, up to 60, fractions allowed, default
// 30) and answers with the profile: gzipped profile.proto of pprof. A profile holds names of
// functions and source files, no labels and no data. The handler answers 400 for another
// number of seconds and 409 while another profile runs. A profile ends early if the client
// disconnects or stop is closed.
//
// net/http/pprof is not used: it serves heap, stacks and command line as well, and
// registers itself in http.DefaultServeMux when it is imported.
func CPUProfile(stop <-chan struct{}) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		length, ok := profileLength(r.URL.RawQuery)
		if !ok {
			writeText(w, http.StatusBadRequest, fmt.Sprintf("seconds must be one number above 0, up to %.0f", maxProfile.Seconds()))
			return
		}
		// The write timeout of the listener may be shorter than a profile. A writer without
		// deadlines, as in tests, has no timeout either.
		_ = http.NewResponseController(w).SetWriteDeadline(time.Now().Add(length + defaultProfile))
		profile, err := record(r, length, stop)
		if err != nil {
			writeText(w, http.StatusConflict, "another CPU profile is running; try again when it has ended")
			return
		}
		w.Header().Set("Content-Type", "application/octet-stream")
		_, _ = w.Write(profile) // an error means that the client disconnected
	}
}

// profileLength returns the length of a profile from a query. It is not ok if the query is
// malformed, or if "seconds" is repeated, no number or out of range.
func profileLength(query string) (length time.Duration, ok bool) {
	values, err := url.ParseQuery(query)
	switch given := values["seconds"]; {
	case err != nil || len(given) > 1:
		return 0, false
	case len(given) == 0 || given[0] == "":
		return defaultProfile, true
	default:
		seconds, err := strconv.ParseFloat(given[0], 64)
		ok = err == nil && seconds > 0 && seconds <= maxProfile.Seconds() // false for NaN
		return time.Duration(seconds * float64(time.Second)), ok
	}
}

// record returns a CPU profile of length, or less if the client of r disconnects or stop is
// closed. It returns an error while another profile runs.
func record(r *http.Request, length time.Duration, stop <-chan struct{}) ([]byte, error) {
	var profile bytes.Buffer
	if err := pprof.StartCPUProfile(&profile); err != nil {
		return nil, err
	}
	timer := time.NewTimer(length)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-r.Context().Done():
	case <-stop:
	}
	pprof.StopCPUProfile() // writes the profile
	return profile.Bytes(), nil
}
