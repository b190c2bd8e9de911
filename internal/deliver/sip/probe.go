package sip

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/emiago/sipgo/sip"

	"countersign/internal/deliver/tts/audio"
	"countersign/internal/message"
)

// Probe sends one request to a trunk and returns nil if the trunk responds as required.
// With Register it sends a REGISTER without Contact, which checks the credentials and
// does not change the registration of a running server (RFC 3261 §10.2.3). Otherwise it
// sends an OPTIONS, to which every response is a success (RFC 3261 §11). Neither makes
// a phone ring. Probe uses a free local port and ignores Listen and Speaker.
func Probe(ctx context.Context, cfg Config) error {
	cfg.Listen, cfg.Speaker = "", mute{}
	if err := cfg.complete(); err != nil {
		return err
	}
	t, err := openTrunk(&cfg, cfg.Log, newMetrics())
	if err != nil {
		return err
	}
	return errors.Join(t.probe(ctx), t.close())
}

// mute is the speaker of a trunk without calls.
type mute struct{}

func (mute) Speak(context.Context, message.Script) (audio.Samples, error) { return nil, nil }

func (t *trunk) probe(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, registerTimeout)
	defer cancel()
	method := sip.OPTIONS
	if t.cfg.Register {
		method = sip.REGISTER
	}
	req := sip.NewRequest(method, t.cfg.uri(""))
	req.SetTransport(strings.ToUpper(t.cfg.Transport))
	req.SetDestination(t.cfg.hop())
	own := t.cfg.uri(t.cfg.User)
	from := &sip.FromHeader{Address: own, Params: sip.NewParams()}
	from.Params.Add("tag", sip.GenerateTagN(16))
	id := sip.CallIDHeader(sip.GenerateTagN(32))
	t.gate.expect(string(id))
	req.AppendHeader(from)
	req.AppendHeader(&sip.ToHeader{Address: own, Params: sip.NewParams()})
	req.AppendHeader(&id)
	req.AppendHeader(&sip.CSeqHeader{SeqNo: 1, MethodName: method})
	res, _, err := t.do(ctx, req)
	_, answered := errors.AsType[*StatusError](err)
	switch {
	case errors.Is(err, context.DeadlineExceeded):
		return fmt.Errorf("no response from %s in %s", t.cfg.hop(), registerTimeout)
	case !t.cfg.Register && (err == nil || answered):
		return nil
	case err != nil:
		return err
	case !res.IsSuccess():
		return newStatusError(res)
	}
	return nil
}
