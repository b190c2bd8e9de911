package sip

import (
	"context"
	"fmt"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/emiago/sipgo"
	"github.com/emiago/sipgo/sip"

	"countersign/internal/deliver"
)

// registration keeps the trunk's registrar informed of where we are (RFC 3261
// §10.2).
type registration struct {
	trunk  *trunk
	failed func(error)

	mu    sync.Mutex
	up    bool
	since time.Time
	err   error // of the last try
}

// The pause after a REGISTER that failed; it doubles each time.
const (
	firstRetry   = time.Second
	longestRetry = time.Minute
)

// run registers until ctx ends, and then signs off.
func (r *registration) run(ctx context.Context) {
	every := r.trunk.cfg.RegisterEvery
	retry, pause := firstRetry, time.Duration(0)
	for sleep(ctx, pause) {
		granted, err := r.once(ctx, every+every/4)
		r.note(err)
		if err != nil {
			if ctx.Err() == nil {
				r.failed(fmt.Errorf("register: %w", err))
			}
			pause, retry = retry, min(2*retry, longestRetry)
			continue
		}
		pause, retry = max(min(every, granted*4/5), time.Second), firstRetry
	}
	bye, cancel := context.WithTimeout(context.WithoutCancel(ctx), 2*time.Second)
	defer cancel()
	_, _ = r.once(bye, 0) // it expires by itself
}

func (r *registration) note(err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if up := err == nil; up != r.up || r.since.IsZero() {
		r.up, r.since = up, time.Now()
	}
	r.err = err
}

// status shows the registration as the one bind of the carrier.
func (r *registration) status() deliver.BindStatus {
	r.mu.Lock()
	defer r.mu.Unlock()
	s := deliver.BindStatus{Kind: "registration", Up: r.up, Since: r.since}
	if r.err != nil {
		s.Error = r.err.Error()
	}
	return s
}

// once sends a REGISTER, and gives the time for which it was granted.
func (r *registration) once(ctx context.Context, expires time.Duration) (granted time.Duration, err error) {
	t := r.trunk
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	req := sip.NewRequest(sip.REGISTER, t.cfg.uri(""))
	req.SetTransport(strings.ToUpper(t.cfg.Transport))
	req.SetDestination(t.cfg.hop())
	own := t.cfg.uri(t.cfg.User)
	from := &sip.FromHeader{Address: own, Params: sip.NewParams()}
	from.Params.Add("tag", sip.GenerateTagN(16))
	req.AppendHeader(from)
	req.AppendHeader(&sip.ToHeader{Address: own, Params: sip.NewParams()})
	req.AppendHeader(sip.HeaderClone(&t.dialog.ContactHDR))
	req.AppendHeader(sip.NewHeader("Expires", strconv.Itoa(int(expires.Seconds()))))
	res, err := t.client.Do(ctx, req)
	if err == nil && challenged(res) {
		res, err = t.client.DoDigestAuth(ctx, req, res, t.cfg.credentials())
	}
	switch {
	case err != nil:
		return 0, err
	case !res.IsSuccess():
		return 0, newStatusError(res)
	}
	return grantedTo(res, expires), nil
}

// grantedTo reads for how long a registration holds: the registrar may have given
// less than was asked for. Other contacts may be listed beside ours: the shortest
// time is safe.
func grantedTo(res *sip.Response, asked time.Duration) time.Duration {
	granted := asked
	take := func(seconds string) {
		if n, err := strconv.Atoi(strings.TrimSpace(seconds)); err == nil && n > 0 {
			granted = min(granted, time.Duration(n)*time.Second)
		}
	}
	if h := res.GetHeader("Expires"); h != nil {
		take(h.Value())
	}
	for _, h := range res.GetHeaders("Contact") {
		if _, rest, ok := strings.Cut(strings.ToLower(h.Value()), ";expires="); ok {
			take(rest[:len(rest)-len(strings.TrimLeft(rest, "0123456789"))])
		}
	}
	return granted
}

// challenged reports whether the other side wants to know who asks.
func challenged(res *sip.Response) bool {
	return res.StatusCode == sip.StatusUnauthorized || res.StatusCode == sip.StatusProxyAuthRequired
}

func (c *Config) credentials() sipgo.DigestAuth {
	return sipgo.DigestAuth{Username: c.User, Password: c.Password}
}
