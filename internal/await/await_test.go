package await_test

import (
	"testing"
	"testing/synctest"
	"time"

	"countersign/internal/await"
)

func TestUntil(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		begin := time.Now()
		await.Until(t, "past one second", func() bool { return time.Since(begin) > time.Second })
		if d := time.Since(begin); d > 1010*time.Millisecond {
			t.Errorf("returned after %s, want about one second", d)
		}
	})
}

func TestPass(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var begun, fired bool
		go func() { begun = true }()
		time.AfterFunc(time.Hour, func() { fired = true })
		begin := time.Now()
		await.Pass(time.Hour)
		if d := time.Since(begin); d != time.Hour || !begun || !fired {
			t.Errorf("after %s: begun %t, fired %t", d, begun, fired)
		}
	})
}

func TestPassOutsideABubble(t *testing.T) {
	defer func() {
		if recover() == nil {
			t.Error("Pass waits in real time")
		}
	}()
	await.Pass(time.Nanosecond)
}

// failure records the call of Fatalf and ends the goroutine, as testing.T does.
type failure struct {
	testing.TB
	text string
}

func (f *failure) Helper() {}

func (f *failure) Fatalf(format string, _ ...any) {
	f.text = format
	panic(f)
}

func TestLimit(t *testing.T) {
	tests := map[string]func(testing.TB){
		"condition": func(t testing.TB) { await.Until(t, "true", func() bool { return false }) },
		"channel":   func(t testing.TB) { await.Closed(t, "closed", make(chan int)) },
	}
	for name, wait := range tests {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				begin := time.Now()
				f := &failure{}
				func() {
					defer func() { _ = recover() }()
					wait(f)
				}()
				if f.text == "" {
					t.Fatal("the wait did not fail the test")
				}
				if d := time.Since(begin); d < await.Limit {
					t.Errorf("failed after %s, want %s", d, await.Limit)
				}
			})
		})
	}
}
