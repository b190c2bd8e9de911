package sip

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/emiago/sipgo"
	"github.com/emiago/sipgo/sip"

	"countersign/internal/deliver"
	"countersign/internal/deliver/sip/media"
	"countersign/internal/deliver/tts/audio"
)

// call is one call, from INVITE to the end.
type call struct {
	trunk   *trunk
	id      string // Call-ID
	message deliver.Message
	caller  string
	sound   audio.Samples
	said    time.Duration // of sound, after which the code was said once

	media   *media.Session
	session *sipgo.DialogClientSession

	ringing chan struct{} // closed when the phone rings, or is answered
	rung    sync.Once
	over    chan struct{} // closed when the other side has hung up
	gone    sync.Once
}

// result is how a call ended.
type result struct {
	outcome Outcome
	answer  time.Duration // how long it was answered
	note    string        // for the event: a code, or what was noticed
	err     error         // why, if it failed before the phone rang
	stats   media.Stats
}

// run makes the call. It returns when it is over. ctx ends it: before the answer
// by a CANCEL, after it by a BYE.
func (c *call) run(ctx context.Context) (r result) {
	defer func() { r.stats = c.media.Stats() }()
	ring, cancel := context.WithTimeout(ctx, c.trunk.cfg.RingTimeout)
	defer cancel()
	stopAsking := c.whileWanted(ring, cancel)
	defer stopAsking()
	c.trunk.add(c)
	defer c.trunk.remove(c)

	err := c.invite(ring)
	if c.session != nil {
		defer func() { _ = c.session.Close() }() // only forgets it
	}
	if err != nil {
		return c.unanswered(ring, ctx, err)
	}
	stopAsking()
	return c.answered(ctx)
}

// whileWanted ends the ringing when nobody waits for the code any more.
func (c *call) whileWanted(ctx context.Context, cancel context.CancelFunc) (stop func()) {
	wanted := c.trunk.cfg.Wanted
	if wanted == nil {
		return func() {}
	}
	asking, stop := context.WithCancel(ctx)
	go func() {
		for sleep(asking, time.Second) {
			if !wanted(asking, c.message.EventID) && asking.Err() == nil {
				cancel()
				return
			}
		}
	}()
	return stop
}

// invite dials, and returns when the call was answered or never will be.
func (c *call) invite(ctx context.Context) error {
	cfg := c.trunk.cfg
	req := sip.NewRequest(sip.INVITE, cfg.uri("+"+c.message.To))
	req.SetTransport(strings.ToUpper(cfg.Transport))
	req.SetDestination(cfg.hop())
	from := &sip.FromHeader{Address: cfg.uri(c.caller), Params: sip.NewParams()}
	from.Params.Add("tag", sip.GenerateTagN(16))
	req.AppendHeader(from)
	id := sip.CallIDHeader(c.id)
	req.AppendHeader(&id)
	req.AppendHeader(sip.NewHeader("P-Asserted-Identity", fmt.Sprintf("<sip:%s@%s>", c.caller, cfg.Host)))
	req.AppendHeader(sip.NewHeader("Allow", "INVITE, ACK, CANCEL, BYE, OPTIONS, INFO, UPDATE"))
	req.AppendHeader(sip.NewHeader("Supported", "timer"))
	req.AppendHeader(sip.NewHeader("Content-Type", "application/sdp"))
	req.SetBody(c.media.Offer().Marshal())
	var err error
	if c.session, err = c.trunk.dialog.WriteInvite(ctx, req); err != nil {
		return fmt.Errorf("%w: %w", errNoConnection, err)
	}
	err = c.session.WaitAnswer(ctx, sipgo.AnswerOptions{
		Username: cfg.User, Password: cfg.Password,
		OnResponse: func(res *sip.Response) error {
			if res.StatusCode > 100 && res.StatusCode < 300 {
				c.rings()
			}
			return nil
		},
	})
	if no := (*sipgo.ErrDialogResponse)(nil); errors.As(err, &no) {
		return newStatusError(no.Res)
	}
	return err
}

var errNoConnection = errors.New("no connection to the trunk")

func (c *call) rings() { c.rung.Do(func() { close(c.ringing) }) }

func newStatusError(res *sip.Response) *StatusError {
	reason := strings.Map(func(r rune) rune {
		if r < ' ' || r > '~' {
			return ' '
		}
		return r
	}, res.Reason)
	return &StatusError{Status: res.StatusCode, Reason: reason[:min(len(reason), 60)]}
}

// unanswered says what became of a call that nobody answered.
func (c *call) unanswered(ring, ctx context.Context, err error) result {
	if c.session != nil && c.session.InviteResponse != nil && c.session.InviteResponse.IsSuccess() {
		// It was answered just when we gave up: that must be said, too.
		c.hangUp(true)
	}
	no, refused := errors.AsType[*StatusError](err)
	switch {
	case refused:
		return result{outcome: outcomeOf(no.Status), note: no.Error(), err: err}
	case ring.Err() == nil:
		return result{outcome: Failed, err: err}
	case errors.Is(ring.Err(), context.DeadlineExceeded) && ctx.Err() == nil:
		return result{outcome: NoAnswer, note: "no answer", err: err}
	}
	return result{outcome: Cancelled, note: "cancelled", err: err}
}

// hangUp ends an answered call.
func (c *call) hangUp(acknowledge bool) {
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	if acknowledge {
		_ = c.session.Ack(ctx) // the BYE is what counts
	}
	_ = c.session.Bye(ctx) // nobody is left to tell
}

// answered says what is to be said, again for each 1 that is pressed, and hangs up.
func (c *call) answered(ctx context.Context) result {
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
		c.hangUp(false)
		return result{outcome: Unreachable, note: "no sound in common", answer: time.Since(began), err: err}
	}
	played := c.speak(ctx)
	select {
	case <-c.over:
	default:
		c.hangUp(false)
	}
	r := result{outcome: Answered, answer: time.Since(began)}
	if played < c.said {
		r.outcome, r.note = HungUp, "hung up after "+played.Round(time.Second).String()
	} else if c.media.Stats().Received.Speech > voicemailSpeech {
		r.note = "voicemail suspected"
	}
	return r
}

const (
	// voicemailSpeech is longer than a person says "hello" to a machine without
	// waiting for an answer.
	voicemailSpeech = 4 * time.Second
	// lastWait is how long a key may be pressed after the last word.
	lastWait = 2 * time.Second
)

// speak plays the announcement, and tells how much of it was heard at least once.
func (c *call) speak(ctx context.Context) (played time.Duration) {
	for {
		playing, stop := context.WithCancel(ctx)
		began, done := time.Now(), make(chan struct{})
		go func() {
			defer close(done)
			_ = c.media.Play(playing, c.sound) // it ends with playing, at the latest
		}()
		again := false
		select {
		case <-done:
			again = c.keyWithin(ctx, lastWait)
		case <-c.over:
		case <-c.keyOne(playing):
			again = true
		case <-ctx.Done():
		}
		played = max(played, min(time.Since(began), c.sound.Duration()))
		stop()
		if !again {
			return played
		}
	}
}

// keyOne is closed when 1 is pressed while ctx lasts.
func (c *call) keyOne(ctx context.Context) <-chan struct{} {
	pressed := make(chan struct{})
	go func() {
		for {
			select {
			case digit := <-c.media.Digits():
				if digit == '1' {
					close(pressed)
					return
				}
			case <-ctx.Done():
				return
			}
		}
	}()
	return pressed
}

func (c *call) keyWithin(ctx context.Context, d time.Duration) bool {
	ctx, cancel := context.WithTimeout(ctx, d)
	defer cancel()
	select {
	case <-c.keyOne(ctx):
		return true
	case <-c.over:
	case <-ctx.Done():
	}
	return false
}

// onBye takes the other side's goodbye.
func (c *call) onBye(req *sip.Request, tx sip.ServerTransaction) {
	c.gone.Do(func() { close(c.over) })
	if c.session == nil || c.session.ReadBye(req, tx) != nil {
		respond(tx, req, 200, "OK", nil)
	}
}

// onInvite takes a new description: the other side moves its media, or holds the
// call.
func (c *call) onInvite(req *sip.Request, tx sip.ServerTransaction) {
	local := c.media.Offer()
	if len(req.Body()) > 0 {
		offer, err := media.Parse(req.Body())
		if err == nil {
			local, err = c.media.Answer(offer)
		}
		if err == nil {
			err = c.media.Start(offer)
		}
		if err != nil {
			respond(tx, req, 488, "Not Acceptable Here", nil)
			return
		}
	}
	respond(tx, req, 200, "OK", local.Marshal(), sip.NewHeader("Content-Type", "application/sdp"),
		sip.HeaderClone(&c.trunk.dialog.ContactHDR))
}

// onUpdate is a session timer that is renewed (RFC 4028), or onInvite by another
// name.
func (c *call) onUpdate(req *sip.Request, tx sip.ServerTransaction) {
	if len(req.Body()) > 0 {
		c.onInvite(req, tx)
		return
	}
	respond(tx, req, 200, "OK", nil, sip.HeaderClone(&c.trunk.dialog.ContactHDR))
}

// onInfo takes a key that comes in the signalling: "Signal=1", as
// application/dtmf-relay, or the digit alone, as application/dtmf.
func (c *call) onInfo(req *sip.Request, tx sip.ServerTransaction) {
	respond(tx, req, 200, "OK", nil)
	kind := ""
	if h := req.ContentType(); h != nil {
		kind = strings.ToLower(h.Value())
	}
	switch body := string(req.Body()); {
	case strings.HasPrefix(kind, "application/dtmf-relay"):
		for line := range strings.Lines(body) {
			if name, value, ok := strings.Cut(line, "="); ok && strings.EqualFold(strings.TrimSpace(name), "signal") {
				c.media.Pressed(strings.TrimSpace(value))
			}
		}
	case strings.HasPrefix(kind, "application/dtmf"):
		c.media.Pressed(strings.TrimSpace(body))
	}
}
