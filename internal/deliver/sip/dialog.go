package sip

import (
	"context"
	"strconv"
	"strings"
	"time"

	"github.com/emiago/sipgo/sip"

	"countersign/internal/deliver/sip/media"
)

// onBye takes the other side's goodbye.
func (c *call) onBye(req *sip.Request, tx sip.ServerTransaction) {
	c.gone.Do(func() { close(c.over) })
	respond(tx, req, 200, "OK", nil)
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
	c.agree(req, tx, local.Marshal(), sip.NewHeader("Content-Type", "application/sdp"))
}

// onUpdate is a session timer that is renewed (RFC 4028), or onInvite by another
// name.
func (c *call) onUpdate(req *sip.Request, tx sip.ServerTransaction) {
	if len(req.Body()) > 0 {
		c.onInvite(req, tx)
		return
	}
	c.agree(req, tx, nil)
}

// agree says yes to a request that refreshes the session, and to its timer.
func (c *call) agree(req *sip.Request, tx sip.ServerTransaction, body []byte, headers ...sip.Header) {
	headers = append(headers, sip.HeaderClone(&c.trunk.contact))
	if expires := req.GetHeader("Session-Expires"); expires != nil {
		value, _, _ := strings.Cut(expires.Value(), ";")
		if n, err := strconv.ParseUint(strings.TrimSpace(value), 10, 31); err == nil {
			headers = append(headers,
				sip.NewHeader("Require", "timer"),
				sip.NewHeader("Session-Expires", strconv.FormatUint(n, 10)+";refresher=uac"))
		}
	}
	respond(tx, req, 200, "OK", body, headers...)
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

// refresh renews the session timer until ctx ends, if the answer leaves that to us
// (RFC 4028 §7.2): after half its time, by an UPDATE. One that fails does no harm,
// since a call is over before the timer is.
func (c *call) refresh(ctx context.Context, answer *sip.Response) {
	h := answer.GetHeader("Session-Expires")
	if h == nil {
		return
	}
	_, params, _ := strings.Cut(h.Value(), ";")
	interval := seconds(answer, "Session-Expires")
	if interval < 2 || !strings.Contains(strings.ToLower(params), "refresher=uac") {
		return
	}
	for sleep(ctx, time.Duration(interval)*time.Second/2) {
		_, _ = c.session.Do(ctx, sip.UPDATE, // see above
			sip.NewHeader("Session-Expires", strconv.Itoa(interval)+";refresher=uac"), sip.NewHeader("Supported", "timer"))
	}
}
