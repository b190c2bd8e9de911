package postgres

import (
	"context"
	"errors"
	"time"
)

// listenAgain is the pause before a lost connection is opened again.
const listenAgain = time.Second / 2

// Listen calls wake after each notification on a channel, until ctx ends. It also calls wake
// for each new connection, since notifications may have been lost before.
func (e *Engine) Listen(ctx context.Context, channel string, wake func()) {
	for {
		err := e.outage.note(e.primary.listen(ctx, channel, wake))
		if ctx.Err() != nil {
			return
		}
		if !errors.Is(err, context.Canceled) { // the end of a term has its own log line
			e.primary.log.Warn("LISTEN connection lost, reconnecting", "error", err)
		}
		select {
		case <-ctx.Done():
			return
		case <-time.After(listenAgain):
		}
	}
}

// listen serves one connection, which ends with the term of the primary at the latest, and
// returns the error that ended it.
func (p *primary) listen(ctx context.Context, channel string, wake func()) error {
	ctx, end := p.within(ctx)
	defer end()
	conn, err := p.open(ctx, p.cfg) // without time limits: it waits for other nodes
	if err != nil {
		return err
	}
	defer func() { // best-effort close
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Second)
		defer cancel()
		_ = conn.Close(ctx)
	}()
	if _, err := conn.Exec(ctx, "LISTEN "+channel); err != nil {
		return err
	}
	wake() // for notifications missed before
	for {
		if _, err := conn.WaitForNotification(ctx); err != nil {
			return err
		}
		wake()
	}
}
