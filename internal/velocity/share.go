package velocity

import (
	"context"
	"time"

	"countersign/internal/fraud"
	"countersign/internal/store"
	"countersign/internal/verify"
)

const (
	// newsBatch bounds the entries of another node read in one query.
	newsBatch = 256
	// overlap extends the reading of changed blocks into the past. It covers the difference
	// of clocks and the duration of a commit.
	overlap = 30 * time.Second
	// historyKept is the period of history for the country rule. blocksKept is how long a
	// block is kept after its end.
	historyKept = 31 * 24 * time.Hour
	blocksKept  = 90 * 24 * time.Hour
	// lookEvery is the interval of comparisons with the history.
	lookEvery = 5 * time.Minute
)

// Load reads the stored counts and blocks. Before Load, decisions use only those of this
// node.
func (w *Watch) Load(ctx context.Context) error {
	w.turn.Lock()
	defer w.turn.Unlock()
	return w.load(ctx, w.now())
}

func (w *Watch) load(ctx context.Context, now time.Time) error {
	if err := w.pull(ctx, now); err != nil {
		return err
	}
	held, err := w.cfg.Store.FraudBlocksHeld(ctx, now.Add(-w.cfg.Rules.RepeatWithin))
	if err != nil {
		return err
	}
	unblocks, err := w.cfg.Store.FraudUnblocksSince(ctx, time.Time{})
	if err != nil {
		return err
	}
	w.state.LoadBlocks(held, unblocks, now)
	w.readAt, w.lookedAt = now, now
	return nil
}

// run synchronizes once.
func (w *Watch) run(ctx context.Context) (next time.Time, err error) {
	w.turn.Lock()
	defer w.turn.Unlock()
	if err := w.sync(ctx); err != nil {
		return time.Time{}, err
	}
	if now := w.now(); now.Sub(w.lookedAt).Abs() >= lookEvery { // either way: the clock may have been set back
		w.lookedAt = now
		if err := w.look(ctx, now); err != nil {
			return time.Time{}, err
		}
	}
	return w.now().Add(every), nil
}

// Sync publishes the new counts of this node and pulls the counts of the others.
func (w *Watch) Sync(ctx context.Context) error {
	w.turn.Lock()
	defer w.turn.Unlock()
	return w.sync(ctx)
}

func (w *Watch) sync(ctx context.Context) error {
	if err := w.publish(ctx); err != nil {
		return err
	}
	now := w.now()
	if w.cfg.Store.Shared() {
		if err := w.pull(ctx, now); err != nil {
			return err
		}
	}
	if verify.FromFuture(w.readAt, now) { // changes since the clock was set back may have been missed
		if err := w.load(ctx, now); err != nil {
			return err
		}
	}
	since := w.readAt.Add(-overlap)
	blocks, err := w.cfg.Store.FraudBlocksSince(ctx, since)
	if err != nil {
		return err
	}
	unblocks, err := w.cfg.Store.FraudUnblocksSince(ctx, since)
	if err != nil {
		return err
	}
	w.state.LoadBlocks(blocks, unblocks, now)
	w.readAt = now
	places, evicted := w.state.Expire(now)
	w.metrics.places.Set(float64(places))
	w.metrics.evicted.Store(int64(evicted))
	return nil
}

// publish stores the counts and blocks of this node since the previous call. After an
// error it stores the same batch again, since the commit may have succeeded.
func (w *Watch) publish(ctx context.Context) error {
	if w.untold == nil {
		entries, blocks := w.state.Drain()
		if len(entries)+len(blocks) == 0 {
			return nil
		}
		w.seq++
		w.untold = &store.FraudNews{Node: w.node, Seq: w.seq, At: w.now(), Entries: entries, Blocks: blocks}
	}
	err := w.cfg.Store.TellFraud(ctx, *w.untold)
	if err == nil {
		w.untold = nil
	}
	return err
}

// pull reads the counts of other nodes.
func (w *Watch) pull(ctx context.Context, now time.Time) error {
	nodes, err := w.cfg.Store.FraudNodes(ctx)
	if err != nil {
		return err
	}
	for node := range w.heard {
		if _, ok := nodes[node]; !ok {
			delete(w.heard, node) // expired from the database
		}
	}
	for node, last := range nodes {
		for node != w.node && w.heard[node] < last {
			entries, until, err := w.cfg.Store.FraudEntries(ctx, node, w.heard[node], now.Add(-w.state.Keep()), newsBatch)
			if err != nil {
				return err
			}
			w.state.Merge(entries, now)
			if until == w.heard[node] { // the rest is too old
				until = last
			}
			w.heard[node] = until
		}
	}
	return nil
}

// look compares recent volumes with the history, and deletes old data.
func (w *Watch) look(ctx context.Context, now time.Time) error {
	if err := w.lookAtCountries(ctx, now); err != nil {
		return err
	}
	if err := w.lookAtSpending(ctx, now); err != nil {
		return err
	}
	if w.cfg.MayForget != nil && !w.cfg.MayForget() {
		return nil
	}
	return w.cfg.Store.ForgetFraud(ctx, now.Add(-w.state.Keep()), now.Add(-historyKept), now.Add(-blocksKept))
}

func (w *Watch) lookAtCountries(ctx context.Context, now time.Time) error {
	conf := w.cfg.Rules.Country
	if conf.Mode == fraud.Off {
		return nil
	}
	began := now.Add(-12 * time.Hour)
	volumes, err := w.cfg.Store.FraudVolumes(ctx, began, now, conf.Starts+1)
	if err != nil {
		return err
	}
	for _, v := range volumes {
		t := fraud.Target{Account: v.Account, Kind: fraud.KindCountry, Value: v.Country}
		if lifted := w.state.Lifted(fraud.RuleCountry, t, now); lifted.After(began) {
			if v.Starts, err = w.startsSince(ctx, lifted, now, v); err != nil {
				return err
			}
		}
		before, err := w.cfg.Store.FraudHalfDays(ctx, v.Account, v.Country, now.Add(-historyKept), began)
		if err != nil {
			return err
		}
		if f, sudden := conf.Sudden(v.Starts, before); sudden {
			w.report(fraud.RuleCountry, t, f, now)
		}
	}
	return nil
}

// startsSince returns the number of verifications that an account started in a country
// after the hour of since.
func (w *Watch) startsSince(ctx context.Context, since, now time.Time, of store.FraudVolume) (int64, error) {
	volumes, err := w.cfg.Store.FraudVolumes(ctx, since, now, 1)
	for _, v := range volumes {
		if v.Account == of.Account && v.Country == of.Country {
			return v.Starts, nil
		}
	}
	return 0, err
}

// spendDays covers today and the seven days before.
const spendDays = 8

func (w *Watch) lookAtSpending(ctx context.Context, now time.Time) error {
	conf := w.cfg.Rules.Spend
	if conf.Mode == fraud.Off {
		return nil
	}
	spent, err := w.cfg.Store.FraudSpend(ctx, now, spendDays)
	if err != nil {
		return err
	}
	for account, days := range spent {
		if f, much := conf.Spent(days[0], days[1:]); much {
			w.report(fraud.RuleSpend, fraud.Target{Account: account, Kind: fraud.KindAccount, Value: account}, f, now)
		}
	}
	return nil
}

func (w *Watch) report(rule fraud.Rule, t fraud.Target, f fraud.Figures, now time.Time) {
	if b, fresh := w.state.Report(rule, t, f, now); fresh {
		w.log(b)
		w.runner.Wake(now)
	}
}
