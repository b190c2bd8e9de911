package sip

import (
	"context"
	"sync"
	"time"

	"github.com/emiago/sipgo/sip"

	"countersign/internal/deliver/sip/media"
)

const (
	// voicemailSpeech is longer than a person says "hello" to a machine without
	// waiting for an answer.
	voicemailSpeech = 4 * time.Second
	// lastWait is how long a key may be pressed after the last word.
	lastWait = 2 * time.Second
)

// answered says what is to be said, again for each 1 that is pressed, and hangs up.
func (c *call) answered(ctx context.Context) Result {
	began := time.Now()
	ctx, cancel := context.WithTimeout(ctx, c.trunk.cfg.MaxDuration)
	defer cancel()
	remote, err := media.Parse(c.session.InviteResponse.Body())
	if err == nil {
		err = c.media.Start(remote)
	}
	if ackErr := c.session.Ack(ctx); err == nil {
		err = ackErr
	}
	if err != nil {
		c.hangUp()
		return Result{Outcome: Unreachable, Note: "no sound in common", Talked: time.Since(began), Err: err}
	}
	talking, stop := context.WithCancel(ctx)
	var refreshing sync.WaitGroup
	refreshing.Go(func() { c.refresh(talking, c.session.InviteResponse) })
	said := c.speak(talking)
	stop()
	refreshing.Wait()
	select {
	case <-c.over:
	default:
		c.hangUp()
	}
	r := Result{Outcome: Answered, Talked: time.Since(began), Said: said, Complete: said == c.sound.Duration()}
	if said < c.once {
		r.Outcome, r.Note = HungUp, "hung up after "+said.Round(time.Second).String()
	} else if c.media.Stats().Received.Speech > voicemailSpeech {
		r.Note = "voicemail suspected"
	}
	return r
}

// speak plays the announcement, again for each 1 that is pressed, and tells how much
// of it was heard at least once.
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

// listen waits until a 1 is pressed, or the announcement is over and nobody has,
// or the call is. played is 0 while the announcement goes on.
func (c *call) listen(ctx context.Context, done <-chan time.Duration) (played time.Duration, again bool) {
	var enough <-chan time.Time
	for {
		select {
		case played = <-done:
			done, enough = nil, time.After(lastWait)
		case digit := <-c.media.Digits():
			if digit == '1' {
				return played, true
			}
		case <-enough:
			return played, false
		case <-c.over:
			return played, false
		case <-ctx.Done():
			return played, false
		}
	}
}

// byeTimeout bounds the wait for the answer to a BYE. Whoever does not answer is
// left with it.
const byeTimeout = 5 * time.Second

// hangUp ends an answered call. A trunk may want to know who hangs up.
func (c *call) hangUp() {
	ctx, cancel := context.WithTimeout(context.Background(), byeTimeout)
	defer cancel()
	_, _ = c.session.Do(ctx, sip.BYE) // the call is over all the same
	c.session.tx.Terminate()          // later responses go to trunk.stray
}
