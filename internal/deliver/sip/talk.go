package sip

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/emiago/sipgo/sip"

	"countersign/internal/deliver/sip/media"
)

// voicemailSpeech is the duration of speech above which voicemail is suspected. A
// person's greeting before the announcement is shorter.
const voicemailSpeech = 4 * time.Second

// answered runs an answered call: it starts the audio, waits while the call is on hold,
// plays the announcement, hangs up, and returns the result.
func (c *call) answered(ctx context.Context) Result {
	began := time.Now()
	ctx, cancel := context.WithTimeout(ctx, c.trunk.cfg.MaxDuration)
	defer cancel()
	if err := c.begin(ctx); err != nil {
		c.hangUp()
		return Result{Outcome: Unreachable, Note: soundless(err), Talked: time.Since(began), Err: err}
	}
	talking, stop := context.WithCancel(ctx)
	var refreshing sync.WaitGroup
	refreshing.Go(func() { c.refresh(talking, c.session.InviteResponse) })
	var said time.Duration
	if c.taken(talking) {
		said = c.speak(talking)
	}
	stop()
	refreshing.Wait()
	r := c.result(time.Since(began), said)
	if !c.hungUp() {
		c.hangUp()
	}
	return r
}

// soundless returns the note of a call without usable audio in the SDP.
func soundless(err error) string {
	if unresolved, ok := errors.AsType[*media.UnresolvedError](err); ok {
		return "no address for " + unresolved.Host
	}
	return "no sound in common"
}

// taken waits while the call is on hold. It returns false if the call is still on hold
// after HoldTimeout, and true if the hold or the call ended before.
func (c *call) taken(ctx context.Context) bool {
	enough := time.NewTimer(c.trunk.cfg.HoldTimeout)
	defer enough.Stop()
	for c.media.OnHold() {
		select {
		case <-c.sdp.changed:
		case <-c.sdp.unusable.c:
			return true
		case <-c.over:
			return true
		case <-ctx.Done():
			return true
		case <-enough.C:
			return !c.media.OnHold()
		}
	}
	return true
}

// briefest is the minimum duration of an answered call in which a code can be heard.
const briefest = time.Second

// hungUp reports whether the other side ended the call.
func (c *call) hungUp() bool {
	select {
	case <-c.over:
		return true
	default:
		return false
	}
}

// result returns the result of an answered call: talked is its duration, said the
// length of the longest playback. It must be called before our BYE.
func (c *call) result(talked, said time.Duration) Result {
	stats := c.media.Stats()
	r := Result{Outcome: Answered, Talked: talked, Said: said, Complete: said == c.sound.Duration()}
	switch {
	case said >= c.once && !stats.Alive():
		r.Note = "no media received"
	case said >= c.once && talked < briefest:
		r.Note = "ended after " + talked.Round(10*time.Millisecond).String()
	case said >= c.once:
		r.Heard = true
		switch {
		case stats.Received.Speech > voicemailSpeech:
			r.Note = "voicemail suspected"
		case stats.Foreign && stats.Received.Packets == 0:
			r.Note = "RTP from other sources only"
		}
	case c.sdp.unusable.raised():
		r.Outcome, r.Note = Unreachable, "no sound in common"
	case c.media.OnHold() && !c.hungUp():
		r.Outcome, r.Note = Held, "on hold"
	default:
		r.Outcome, r.Note = HungUp, "hung up after "+said.Round(100*time.Millisecond).String()
	}
	return r
}

// speak plays the announcement, again for each press of key 1, and returns the length
// of the longest playback.
func (c *call) speak(ctx context.Context) (said time.Duration) {
	for again := true; again; {
		playing, stop := context.WithCancel(ctx)
		done := make(chan time.Duration, 1)
		go func() {
			defer close(done)
			done <- c.media.Play(playing, c.sound)
		}()
		var played time.Duration
		played, again = c.listen(ctx, done)
		stop()
		if played == 0 {
			played = <-done
		}
		said = max(said, played)
	}
	return said
}

// listen waits for key 1, the end of KeyWait after the announcement, or the end of the
// call. again reports key 1. played is 0 if the announcement is still playing.
func (c *call) listen(ctx context.Context, done <-chan time.Duration) (played time.Duration, again bool) {
	var enough <-chan time.Time
	for {
		select {
		case played = <-done:
			done, enough = nil, time.After(c.trunk.cfg.KeyWait)
		case digit := <-c.media.Digits():
			if digit == '1' {
				return played, true
			}
		case <-enough:
			return played, false
		case <-c.over:
			return played, false
		case <-c.sdp.unusable.c:
			return played, false
		case <-ctx.Done():
			return played, false
		}
	}
}

// byeTimeout bounds the wait for the response to a BYE.
const byeTimeout = 5 * time.Second

// hangUp ends an answered call with a BYE. It answers challenges to the BYE.
func (c *call) hangUp() {
	ctx, cancel := context.WithTimeout(context.Background(), byeTimeout)
	defer cancel()
	_, _ = c.session.Do(ctx, sip.BYE) // the call is over even if the BYE fails
	c.session.tx.Terminate()          // later responses go to handleUnmatched
}
