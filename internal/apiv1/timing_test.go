package apiv1_test

import (
	"math"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jonboulle/clockwork"

	"countersign/internal/apiv1"
	"countersign/internal/server"
	"countersign/internal/signature"
	"countersign/internal/web"
)

// BenchmarkLogin checks whether response times reveal the reason of a refusal. It sends
// b.N requests of each of two kinds in random order and reports Welch's t of their times
// ("t"): absolute values below 4.5 are indistinguishable (dudect's threshold). The
// slowest tenth is dropped, to remove other work of the machine. "work" is the value
// before the rounding of response times.
//
//	go test -run '^$' -bench Login -benchtime 100000x ./internal/apiv1
func BenchmarkLogin(b *testing.B) {
	clock := clockwork.NewRealClock()
	work := handler(b, signature.SHA256)
	even := handler(b, signature.SHA256, func(c *apiv1.Config) {
		c.Clock = clock
		c.FailedLogins = web.NewFailedLogins(web.FailedLoginsConfig{Drain: c.Drain, Clock: clock, Metrics: c.Metrics})
	})
	wrongSecret := func(i int) *http.Request { return login(server.DemoAccount, strconv.Itoa(1e13+i)) }
	for name, other := range map[string]func(int) *http.Request{
		"unknown key":        func(i int) *http.Request { return login("demo"+strconv.Itoa(1000+i%9000), strconv.Itoa(1e13+i)) },
		"first letter right": func(i int) *http.Request { return login(server.DemoAccount, "d"+strconv.Itoa(1e13 + i)[1:]) },
	} {
		kinds := [2]func(int) *http.Request{wrongSecret, other}
		b.Run("work/"+name, func(b *testing.B) { tellApart(b, work, 1, kinds) })
		b.Run("answer/"+name, func(b *testing.B) { tellApart(b, even, 64, kinds) })
	}
}

// tellApart measures requests of two kinds, some of them concurrent.
func tellApart(b *testing.B, h http.Handler, atATime int, kinds [2]func(int) *http.Request) {
	h.ServeHTTP(httptest.NewRecorder(), login(server.DemoAccount, server.DemoSecret)) // the account is cached
	type sample struct {
		kind int
		took float64
	}
	samples := make([]sample, 2*b.N)
	var next atomic.Int64
	var all sync.WaitGroup
	for range atATime {
		all.Go(func() {
			for i := int(next.Add(1)) - 1; i < len(samples); i = int(next.Add(1)) - 1 {
				kind := rand.IntN(2)
				r, w := kinds[kind](i), httptest.NewRecorder()
				begin := time.Now()
				h.ServeHTTP(w, r)
				samples[i] = sample{kind, float64(time.Since(begin).Nanoseconds())}
			}
		})
	}
	all.Wait()
	var times [2][]float64
	for _, s := range samples {
		times[s.kind] = append(times[s.kind], s.took)
	}
	if len(times[0]) == 0 || len(times[1]) == 0 {
		return // too few for a result
	}
	b.ReportMetric(welch(times[0], times[1]), "t")
	b.ReportMetric(median(times[0]), "ns/wrong")
	b.ReportMetric(median(times[1]), "ns/other")
}

func login(key, secret string) *http.Request {
	return httptest.NewRequest(http.MethodGet, "/verify/search/json?api_key="+key+"&api_secret="+secret+"&request_id="+unknownID, nil)
}

// welch returns Welch's t of two samples, without the slowest tenth of both.
func welch(a, b []float64) float64 {
	all := slices.Sorted(slices.Values(slices.Concat(a, b)))
	if len(all) < 20 {
		return 0 // too few for a result
	}
	limit := all[len(all)*9/10]
	slow := func(x float64) bool { return x > limit }
	a, b = slices.DeleteFunc(slices.Clone(a), slow), slices.DeleteFunc(slices.Clone(b), slow)
	return (mean(a) - mean(b)) / math.Sqrt(variance(a)/float64(len(a))+variance(b)/float64(len(b)))
}

func median(sample []float64) float64 { return slices.Sorted(slices.Values(sample))[len(sample)/2] }

func mean(sample []float64) float64 {
	sum := 0.0
	for _, x := range sample {
		sum += x
	}
	return sum / float64(len(sample))
}

func variance(sample []float64) float64 {
	m, sum := mean(sample), 0.0
	for _, x := range sample {
		sum += (x - m) * (x - m)
	}
	return sum / float64(len(sample)-1)
}
