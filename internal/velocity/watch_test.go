package velocity_test

import (
	"context"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/jonboulle/clockwork"

	"countersign/internal/await"
	"countersign/internal/fraud"
	"countersign/internal/pgtest"
	"countersign/internal/velocity"
	"countersign/internal/verify"
)

// live runs a node inside a synctest bubble until the test ends.
func live(t *testing.T, change ...func(*velocity.Config)) node {
	t.Helper()
	n := install(t).node(append(change, func(c *velocity.Config) { c.Clock = clockwork.NewRealClock() })...)
	n.Start()
	t.Cleanup(func() {
		if err := n.Stop(context.WithoutCancel(t.Context())); err != nil {
			t.Errorf("stop: %v", err)
		}
	})
	await.Pass(0)
	return n
}

// TestPublishesEverySecond: a node publishes its counts every second, and a new block
// without delay.
func TestPublishesEverySecond(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		n := live(t)
		n.fail(10)
		await.Pass(time.Second - time.Millisecond)
		if got := n.published(); got != 0 {
			t.Errorf("%d starts are published within the second, want none", got)
		}
		await.Pass(time.Millisecond)
		if got := n.published(); got != 10 {
			t.Errorf("%d starts are published after a second, want 10", got)
		}
		n.start("447700900999")
		synctest.Wait()
		if list := n.blocks(fraud.RuleConversion, time.Now()); len(list) != 1 {
			t.Errorf("the new block is not published: blocks are %+v", list)
		}
		await.Pass(time.Second)
		if got := n.metric("countersign_fraud_places"); got == 0 {
			t.Error("the metric of places is 0")
		}
	})
}

// TestStopPublishes: a stop publishes the counts of the last second.
func TestStopPublishes(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		n := install(t).node(func(c *velocity.Config) { c.Clock = clockwork.NewRealClock() })
		n.Start()
		await.Pass(0)
		n.fail(3)
		must(t, n.Stop(t.Context()))
		if got := n.published(); got != 3 {
			t.Errorf("%d starts are published, want 3", got)
		}
	})
}

// TestFailedRunIsRepeated: a failed run is logged and repeated a second later, whether a
// sync failed or the comparison with the history.
func TestFailedRunIsRepeated(t *testing.T) {
	t.Parallel()
	for table, wait := range map[string]time.Duration{"fraud_log": time.Second, "fraud_blocks": time.Second, "fraud_hours": 5 * time.Minute} {
		t.Run(table, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				n := live(t, country(fraud.Enforce))
				alter := func(from, to string) {
					db, err := pgtest.Open(n.in.database)
					must(t, err)
					defer db.Close()
					_, err = db.ExecContext(t.Context(), `ALTER TABLE `+from+` RENAME TO `+to)
					must(t, err)
				}
				alter(table, "gone")
				if table == "fraud_log" { // only news are written there
					n.fail(3)
				}
				await.Pass(wait + 500*time.Millisecond)
				if failed := n.log.lines("task failed"); len(failed) != 1 || failed[0]["task"] != "velocity" {
					t.Fatalf("log: %v, want one failed task", failed)
				}
				alter("gone", table)
				if table != "fraud_log" {
					n.fail(3)
				}
				await.Pass(time.Second)
				if got := n.published(); got != 3 {
					t.Errorf("%d starts are published, want 3", got)
				}
				if failed := n.log.lines("task failed"); len(failed) != 1 {
					t.Errorf("log: %v, want no further failure", failed)
				}
			})
		})
	}
}

// country turns the country rule on: 200 starts, 6 standard deviations.
func country(mode fraud.Mode) func(*velocity.Config) {
	return func(c *velocity.Config) {
		c.Rules.Country = fraud.Country{Mode: mode, Starts: 200, Sigma: 6, Blocks: []time.Duration{time.Hour, 6 * time.Hour}}
	}
}

// volume is a number of starts in a country, some hours ago.
type volume struct {
	hours   int
	country string
	starts  int64
}

// TestCountryRule: every 5 minutes, the starts of the last 12 hours in a country are
// compared with the half-days of the month before. If they exceed these by far, the country
// is blocked for the account, or only reported in shadow mode.
func TestCountryRule(t *testing.T) {
	t.Parallel()
	usual := func(starts int64) (list []volume) {
		for half := 1; half <= 10; half++ {
			list = append(list, volume{12*half + 1, "GB", starts})
		}
		return list
	}
	inUse := volume{61, "FR", 1}
	for name, tt := range map[string]struct {
		volumes []volume
		sudden  bool
	}{
		"never before":         {[]volume{inUse, {1, "GB", 201}}, true},
		"over several hours":   {[]volume{inUse, {0, "GB", 50}, {5, "GB", 50}, {11, "GB", 101}}, true},
		"too little":           {[]volume{inUse, {1, "GB", 200}}, false},
		"13 hours ago":         {[]volume{inUse, {12, "GB", 1}, {13, "GB", 201}}, false},
		"half of it long ago":  {[]volume{inUse, {11, "GB", 101}, {12, "GB", 100}}, false},
		"an account of a day":  {[]volume{{25, "FR", 1}, {1, "GB", 201}}, false},
		"as usual":             {append(usual(200), volume{1, "GB", 280}), false},
		"more than usual":      {append(usual(200), volume{1, "GB", 290}), true},
		"usual of last season": {[]volume{{40 * 24, "GB", 100_000}, {35 * 24, "GB", 100_000}, inUse, {1, "GB", 201}}, true},
		"usual of this month":  {[]volume{{20 * 24, "GB", 100_000}, inUse, {1, "GB", 201}}, false},
		"another country":      {[]volume{inUse, {1, "US", 150}, {1, "GB", 150}}, false},
	} {
		for mode, action := range map[fraud.Mode]fraud.Action{fraud.Enforce: fraud.ActionBlock, fraud.Shadow: fraud.ActionShadow, fraud.Off: ""} {
			if mode != fraud.Enforce && name != "never before" {
				continue
			}
			t.Run(fmt.Sprintf("%s, %s", name, mode), func(t *testing.T) {
				t.Parallel()
				synctest.Test(t, func(t *testing.T) {
					n := live(t, country(mode))
					for i, v := range tt.volumes {
						n.publish(int64(i+1), v.country, v.starts, 0, time.Now().Add(-time.Duration(v.hours)*time.Hour), time.Now())
					}
					await.Pass(5*time.Minute - time.Millisecond)
					if list := n.blocks(fraud.RuleCountry, time.Now()); len(list) != 0 {
						t.Errorf("before 5 minutes are over: %+v", list)
					}
					await.Pass(time.Millisecond)
					list := n.blocks(fraud.RuleCountry, time.Now())
					if !tt.sudden || mode == fraud.Off {
						if len(list) != 0 {
							t.Errorf("blocks are %+v, want none", list)
						}
						return
					}
					want := fraud.Target{Account: "demo0001", Kind: fraud.KindCountry, Value: "GB"}
					if len(list) != 1 || list[0].Action != action || list[0].Target != want || list[0].Until.Sub(list[0].Since) != time.Hour {
						t.Fatalf("blocks are %+v, want one of GB", list)
					}
					if got := n.metric("countersign_fraud_blocks_total", string(action), "country"); got != 1 {
						t.Errorf("%v blocks are counted, want 1", got)
					}
					if lines := n.log.lines("fraud rule"); len(lines) != 1 || lines[0]["rule"] != "country" || lines[0]["block"] != list[0].ID {
						t.Errorf("log: %v, want a line of the block", lines)
					}
					if refused := n.start("447700900999") != ""; refused != (mode == fraud.Enforce) {
						t.Errorf("a start is refused: %v", refused)
					}
					await.Pass(5 * time.Minute) // the volume is still sudden, and the block remains
					if list := n.blocks(fraud.RuleCountry, time.Now()); len(list) != 1 {
						t.Errorf("blocks are %+v, want one", list)
					}
				})
			})
		}
	}
}

// TestComparesEveryFiveMinutes: the comparison with the history runs every 5 minutes after
// the start, and not between.
func TestComparesEveryFiveMinutes(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		n := live(t, country(fraud.Enforce))
		n.publish(1, "FR", 1, 0, time.Now().Add(-61*time.Hour), time.Now())
		await.Pass(5 * time.Minute)
		n.publish(2, "GB", 201, 0, time.Now(), time.Now())
		for _, step := range []struct {
			wait time.Duration
			want int
		}{{5*time.Minute - time.Second, 0}, {time.Second, 1}} {
			await.Pass(step.wait)
			if list := n.blocks(fraud.RuleCountry, time.Now()); len(list) != step.want {
				t.Errorf("%d blocks, want %d", len(list), step.want)
			}
		}
	})
}

// TestCountryLifted: after an operator lifted a block of a country, earlier starts do not
// block it again. As many later starts do, and that block is no repeat.
func TestCountryLifted(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		n := live(t, country(fraud.Enforce))
		n.publish(1, "FR", 1, 0, time.Now().Add(-61*time.Hour), time.Now())
		n.publish(2, "GB", 201, 0, time.Now(), time.Now())
		n.publish(3, "US", 201, 0, time.Now(), time.Now()) // stays blocked
		await.Pass(5 * time.Minute)
		list := n.blocks(fraud.RuleCountry, time.Now())
		if len(list) != 2 {
			t.Fatalf("blocks are %+v, want two", list)
		}
		lifted := list[0]
		if lifted.Value != "GB" {
			lifted = list[1]
		}
		must(t, n.db.LiftFraudBlock(t.Context(), lifted.ID, "operator", time.Now()))
		await.Pass(2 * time.Hour)
		if list := n.blocks(fraud.RuleCountry, time.Now()); len(list) != 3 || list[0].Value != "US" || list[0].Repeat != 2 {
			t.Fatalf("blocks are %+v, want GB lifted and US blocked again", list)
		}
		n.publish(4, "GB", 201, 0, time.Now(), time.Now())
		await.Pass(5 * time.Minute)
		list = n.blocks(fraud.RuleCountry, time.Now())
		if len(list) != 4 || list[0].Value != "GB" || list[0].Repeat != 1 || list[0].Figures.Starts != 201 {
			t.Errorf("blocks are %+v, want a first one of GB again", list)
		}
	})
}

// TestSpendAlert: if an account's spending today exceeds the days before by far, one alert
// a day is raised, and no start is refused.
func TestSpendAlert(t *testing.T) {
	t.Parallel()
	const day = 2 * verify.Unit // spent on most days
	for name, tt := range map[string]struct {
		mode  fraud.Mode
		today verify.Money
		days  int // before, with the usual spending
		want  int
	}{
		"more than ten times":  {fraud.Shadow, 10*day + 1, 7, 1},
		"ten times":            {fraud.Shadow, 10 * day, 7, 0},
		"off":                  {fraud.Off, 10*day + 1, 7, 0},
		"on four of the seven": {fraud.Shadow, 10 * day, 4, 0},
		"on three":             {fraud.Shadow, 10 * day, 3, 1}, // the median is 0
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				n := live(t, func(c *velocity.Config) {
					c.Rules.Spend = fraud.Spend{Mode: tt.mode, Times: 10, Least: 10 * verify.Unit}
				})
				for i := range tt.days {
					n.publish(int64(i+1), "GB", 1, day, time.Now().Add(-time.Duration(24*(i+1))*time.Hour), time.Now())
				}
				n.publish(100, "GB", 1, 1000*day, time.Now().Add(-8*24*time.Hour), time.Now()) // too long ago
				n.publish(101, "GB", 1, tt.today, time.Now(), time.Now())
				await.Pass(10 * time.Minute)
				list := n.blocks(fraud.RuleSpend, time.Now())
				if len(list) != tt.want {
					t.Fatalf("alerts are %+v, want %d", list, tt.want)
				}
				if got := n.metric("countersign_fraud_blocks_total", "alert", "spend_alert"); got != float64(tt.want) {
					t.Errorf("%v alerts are counted, want %d", got, tt.want)
				}
				if got := n.start("447700900999"); got != "" {
					t.Errorf("a start is refused: %q", got)
				}
				if tt.want == 1 && (list[0].Action != fraud.ActionAlert || list[0].Value != "demo0001" || list[0].Figures.Spend != int64(tt.today)) {
					t.Errorf("the alert is %+v", list[0])
				}
			})
		})
	}
}

// TestForgets: counts too old for every rule are deleted, unless the clock is unreliable.
func TestForgets(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		may  func() bool
		want int
	}{
		"certain":  {func() bool { return true }, 0},
		"not set":  {nil, 0},
		"in doubt": {func() bool { return false }, 1},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				n := live(t, func(c *velocity.Config) { c.MayForget = tt.may })
				old := time.Now().Add(-32 * 24 * time.Hour)
				n.publish(1, "GB", 7, 0, old, old)
				await.Pass(5 * time.Minute)
				nodes, err := n.db.FraudNodes(t.Context())
				must(t, err)
				list, err := n.db.FraudVolumes(t.Context(), old.Add(-time.Hour), time.Now(), 1)
				must(t, err)
				if len(nodes) != tt.want || len(list) != tt.want {
					t.Errorf("nodes %v and volumes %v are kept, want %d of each", nodes, list, tt.want)
				}
				n.publish(2, "GB", 1, 0, time.Now().Add(-30*24*time.Hour), time.Now().Add(-50*time.Minute))
				await.Pass(5 * time.Minute)
				if nodes, err = n.db.FraudNodes(t.Context()); err != nil || len(nodes) != 1 {
					t.Errorf("what still matters is not kept: %v (%v)", nodes, err)
				}
				if list, err = n.db.FraudVolumes(t.Context(), time.Now().Add(-31*24*time.Hour), time.Now(), 1); err != nil || len(list) != 1 {
					t.Errorf("the volume of 30 days ago is not kept: %v (%v)", list, err)
				}
			})
		})
	}
}
