package fraud_test

import (
	"container/heap"
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"countersign/internal/fraud"
	"countersign/internal/verify"
)

// defaultRules returns the default rules (package config).
func defaultRules() fraud.Rules {
	const day = 24 * time.Hour
	return fraud.Rules{
		RepeatWithin: day,
		Conversion: fraud.Conversion{
			Mode: fraud.Enforce, All: fraud.Shadow, Window: time.Hour, Finished: 30, Below: 10, Alert: 35,
			Blocks: []time.Duration{20 * time.Minute, time.Hour, 6 * time.Hour, day, 0},
		},
		Sequence: fraud.Sequence{
			Mode: fraud.Enforce, Window: 10 * time.Minute, Numbers: 8,
			Blocks: []time.Duration{20 * time.Minute, time.Hour, 6 * time.Hour, day},
		},
		Unverified: fraud.Unverified{
			Mode: fraud.Enforce, Window: time.Hour, Percent: 300, Prefix: 30, Country: 500,
			Blocks: []time.Duration{time.Minute, 5 * time.Minute, 20 * time.Minute},
		},
		Prefix:  fraud.Volume{Mode: fraud.Enforce, Window: time.Hour, Starts: 2000, Blocks: []time.Duration{10 * time.Minute}},
		Network: fraud.Volume{Mode: fraud.Off, Window: time.Hour, Blocks: []time.Duration{10 * time.Minute}},
		Source: fraud.Source{
			Mode: fraud.Shadow, Window: time.Hour, Starts: 0, FailedChecks: 100, Blocks: []time.Duration{10 * time.Minute},
		},
		Country: fraud.Country{Mode: fraud.Shadow, Starts: 200, Sigma: 6, Blocks: []time.Duration{time.Hour, 6 * time.Hour}},
		Spend:   fraud.Spend{Mode: fraud.Shadow, Times: 10, Least: 10 * verify.Unit},
		Voice:   fraud.Voice{Mode: fraud.Enforce, CallsPerHour: 60, Blocks: []time.Duration{10 * time.Minute}},
	}
}

// traffic sends verifications to a State in virtual time, as the engine does.
type traffic struct {
	state  *fraud.State
	random *rand.Rand
	events moments

	started, refused, sms, spared int // spared: SMS before the first refusal
	blocks                        map[fraud.Rule]int
}

func newTraffic(seed uint64, rules fraud.Rules) *traffic {
	random := rand.New(rand.NewPCG(seed, 1))
	return &traffic{
		state: fraud.NewState(rules, nil, rand.NewChaCha8([32]byte{byte(seed)})), random: random, blocks: map[fraud.Rule]int{},
	}
}

type moment struct {
	at time.Time
	do func(time.Time)
}

type moments []moment

func (m moments) Len() int           { return len(m) }
func (m moments) Less(i, j int) bool { return m[i].at.Before(m[j].at) }
func (m moments) Swap(i, j int)      { m[i], m[j] = m[j], m[i] }
func (m *moments) Push(x any)        { *m = append(*m, x.(moment)) }
func (m *moments) Pop() any {
	old := *m
	last := old[len(old)-1]
	*m = old[:len(old)-1]
	return last
}

func (tr *traffic) later(at time.Time, do func(time.Time)) { heap.Push(&tr.events, moment{at, do}) }

func (tr *traffic) run() {
	for len(tr.events) > 0 {
		m := heap.Pop(&tr.events).(moment)
		m.do(m.at)
		if tr.events.Len()%1000 == 0 {
			tr.state.Drain() // each second, as nodes do
		}
	}
}

// start simulates one verification: it succeeds after some seconds, or gets a second SMS
// after two minutes and expires after five.
func (tr *traffic) start(number, country string, converts bool, now time.Time) {
	d := tr.state.Start(fraud.Attempt{Account: "demo0001", Number: number, Country: country}, now)
	for _, b := range d.Fresh {
		tr.blocks[b.Rule]++
	}
	if d.Refused != nil {
		if tr.refused == 0 {
			tr.spared = tr.sms
		}
		tr.refused++
		return
	}
	tr.started++
	v := verify.Verification{Request: verify.Request{Account: "demo0001", To: verify.PhoneAddress(number, country)}}
	sent := func(now time.Time) {
		tr.sms++
		tr.state.Sent(v, v.To, now)
	}
	sent(now)
	if converts {
		tr.later(now.Add(time.Duration(5+tr.random.IntN(85))*time.Second), func(now time.Time) {
			v := v
			v.Status = verify.Success
			tr.state.Ended(v, now)
		})
		return
	}
	tr.later(now.Add(2*time.Minute), sent)
	tr.later(now.Add(5*time.Minute), func(now time.Time) { tr.state.Ended(v, now) })
}

// TestPumping: of 10,000 requests to one prefix without a right code, at most 60 SMS leave
// before the block, at any rate and in any range; and few more until the end of the attack.
func TestPumping(t *testing.T) {
	t.Parallel()
	const requests = 10_000
	for _, attack := range []struct {
		name   string
		within time.Duration
		number func(i int, r *rand.Rand) string
		most   int // SMS in all
	}{
		{"in a row, in a minute", time.Minute, inARow, 14},
		{"drawn, in a minute", time.Minute, drawn, 60},
		{"drawn, in an hour", time.Hour, drawn, 60},
		{"drawn, in a day", 24 * time.Hour, drawn, 240},
	} {
		t.Run(attack.name, func(t *testing.T) {
			t.Parallel()
			tr := newTraffic(1, defaultRules())
			for i := range requests {
				at := t0.Add(attack.within * time.Duration(i) / requests)
				tr.later(at, func(now time.Time) { tr.start(attack.number(i, tr.random), "GB", false, now) })
			}
			tr.run()
			t.Logf("%d requests: %d SMS before the block, %d in all; %d requests refused; blocks: %v",
				requests, tr.spared, tr.sms, tr.refused, tr.blocks)
			if tr.spared > 60 || tr.sms > attack.most {
				t.Errorf("%d SMS before the block, want at most 60; %d in all, want at most %d", tr.spared, tr.sms, attack.most)
			}
		})
	}
}

// inARow repeats within one range of 100 numbers, as its owner would.
func inARow(i int, _ *rand.Rand) string { return fmt.Sprintf("44770012%04d", i%100) }

func drawn(_ int, r *rand.Rand) string { return fmt.Sprintf("4477001%05d", r.IntN(100_000)) }

// TestFalseBlocks: of 100,000 legitimate requests in a day with a conversion rate of 60 to
// 90 %, at most one in a thousand is refused.
func TestFalseBlocks(t *testing.T) {
	t.Parallel()
	const requests, prefixes = 100_000, 300
	tr := newTraffic(2, defaultRules())
	zipf := rand.NewZipf(tr.random, 1.1, 20, prefixes-1) // a few operators have most numbers
	for range requests {
		at := t0.Add(time.Duration(tr.random.Int64N(int64(24 * time.Hour))))
		prefix := zipf.Uint64()
		number := fmt.Sprintf("%07d%05d", 4_470_000+prefix, tr.random.IntN(100_000))
		converts := tr.random.Float64() < .6+.3*float64(prefix%4)/3
		tr.later(at, func(now time.Time) { tr.start(number, "GB", converts, now) })
	}
	tr.run()
	share := 100 * float64(tr.refused) / requests
	t.Logf("%d requests: %d refused (%.3f %%); blocks: %v", requests, tr.refused, share, tr.blocks)
	if share > .1 {
		t.Errorf("%.3f %% were refused, want at most 0.1 %%", share)
	}
}

// BenchmarkStart measures the rules for a start, with an hour of counts.
func BenchmarkStart(b *testing.B) {
	s, now := newState(defaultRules()), t0
	for m := range 60 {
		play(s, 80, 20, now.Add(time.Duration(m-60)*time.Minute))
	}
	numbers := make([]string, 1000)
	for i := range numbers {
		numbers[i] = fmt.Sprintf("4477009%05d", i*100)
	}
	b.ReportAllocs()
	for i := 0; b.Loop(); i++ {
		a := attempt(numbers[i%1000])
		s.Start(a, now)
		s.TakeBack(a, now)
	}
}
