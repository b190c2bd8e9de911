package smpp

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"time"

	"countersign/internal/deliver/smpp/pdu"
)

func (s *session) writeLoop() {
	var spare []byte
	for {
		select {
		case <-s.wake:
		case <-s.ended:
			return
		}
		// Often many goroutines submit together: yielding to them first combines
		// their PDUs in one write.
		runtime.Gosched()
		s.mu.Lock()
		batch := s.out
		if s.err != nil { // the requests in out have failed with errNotWritten
			s.mu.Unlock()
			return
		}
		if len(batch) == 0 { // written in the last round
			s.mu.Unlock()
			continue
		}
		s.out, s.writing = spare[:0], true
		s.mu.Unlock()
		if !s.write(batch) {
			return
		}
		if spare = batch; cap(spare) > 1<<20 {
			spare = nil
		}
	}
}

// write writes a batch. It returns false if the session has ended or cannot write.
func (s *session) write(batch []byte) bool {
	n := 0
	err := s.conn.SetWriteDeadline(time.Now().Add(writeTimeout))
	if err == nil {
		n, err = s.conn.Write(batch)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.written += uint64(n)
	s.writing = false
	switch {
	case s.err != nil:
		s.failPending(true)
	case err != nil:
		// Responses in flight still count. The deadline ends readLoop, which ends
		// the session.
		s.broken = fmt.Errorf("write: %w", err)
		s.failPending(false)
		_ = s.conn.SetReadDeadline(time.Now().Add(lastWords)) // fails only if reading fails
	case s.leaving && len(s.out) == 0:
		s.failLocked(errUnbound)
	}
	return err == nil && s.err == nil
}

func (s *session) readLoop() {
	for {
		p, err := s.reader.Next()
		if bad, ok := errors.AsType[*pdu.Error](err); ok && !bad.Fatal {
			s.reject(bad)
			continue
		}
		if err != nil {
			s.fail(fmt.Errorf("read: %w", err))
			return
		}
		if p.Body.Command().IsResponse() {
			s.complete(s.answers(p), result{p: p})
			continue
		}
		s.serve(p)
	}
}

// reject answers a malformed request. A malformed response fails its request.
func (s *session) reject(bad *pdu.Error) {
	if bad.Command.IsResponse() {
		s.complete(bad.Sequence, result{err: fmt.Errorf("%w: %w", errMalformed, bad)})
		return
	}
	s.touch()
	if body := responseTo(bad.Command); body != nil {
		s.reply(bad.Sequence, bad.Status, body)
		return
	}
	s.reply(bad.Sequence, bad.Status, &pdu.GenericNack{})
}

func responseTo(c pdu.Command) pdu.Body {
	switch c {
	case pdu.CommandDeliverSM:
		return &pdu.DeliverSMResp{}
	case pdu.CommandDataSM:
		return &pdu.DataSMResp{}
	}
	return nil
}

// serve answers a request of the peer, or passes it to act.
func (s *session) serve(p pdu.PDU) {
	s.touch()
	switch p.Body.(type) {
	case *pdu.EnquireLink:
		s.reply(p.Sequence, pdu.StatusOK, &pdu.EnquireLinkResp{})
		return
	case *pdu.Unbind:
		s.goAway(p.Sequence)
		return
	case *pdu.DeliverSM, *pdu.DataSM:
		if s.defers(p) {
			return
		}
	}
	s.act(p)
}

// act passes a request to the carrier and sends the reply.
func (s *session) act(p pdu.PDU) {
	a := s.handle(p)
	if a.later != nil {
		s.loops.Go(func() {
			a.later(func(status pdu.Status, body pdu.Body) { s.reply(p.Sequence, status, body) })
		})
	} else if a.body != nil {
		s.reply(p.Sequence, a.status, a.body)
	}
}

func (s *session) touch() {
	s.mu.Lock()
	s.heard = time.Now()
	s.mu.Unlock()
}

// keepLoop expires requests after their timeout and sends a keep-alive to a silent
// peer.
func (s *session) keepLoop() {
	ticker := time.NewTicker(max(min(s.timeout, s.enquire)/10, time.Millisecond))
	defer ticker.Stop()
	for {
		select {
		case <-s.ended:
			return
		case now := <-ticker.C:
			if s.keep(now) {
				s.loops.Go(s.ask)
			}
		}
	}
}

// keep does the work of a tick and reports whether a keep-alive is due.
func (s *session) keep(now time.Time) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	mute := false
	for seq, c := range s.pending {
		if now.Before(c.until) {
			continue
		}
		mute = mute || c.tag != nil
		s.expire(seq, c)
		c.done <- result{err: errTimeout}
	}
	s.leave()
	switch {
	case mute && s.mute.IsZero():
		s.mute = now
	case mute && now.Sub(s.mute) >= s.enquire: // even if the peer sends other PDUs
		s.failLocked(errMute)
	}
	if s.err != nil || s.goodbye != 0 || s.retired != nil || s.enquired || now.Sub(s.heard) < s.enquire {
		return false
	}
	s.enquired = true
	return true
}

// ask sends a keep-alive and ends the session without a response, unless another PDU
// arrived in the meantime. Including the ticks before and after the wait, this takes
// at most twice the interval. An error response means that the bind is lost.
func (s *session) ask() {
	asked := time.Now()
	p, err := s.request(context.Background(), &pdu.EnquireLink{}, nil, min(s.timeout, s.enquire*7/10))
	if err == nil && (p.Status != pdu.StatusOK || p.Body.Command() == pdu.CommandGenericNack) {
		s.retire(fmt.Errorf("%w: enquire_link answered with %s, %w", errUnusable, p.Body.Command(), &StatusError{Status: p.Status}))
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.enquired = false
	if err != nil && !errors.Is(err, errNotWritten) && !s.heard.After(asked) {
		s.failLocked(fmt.Errorf("enquire_link: %w", err))
	}
}
