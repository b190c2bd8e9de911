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
		// Who woke the loop is often one of many that are about to submit: letting
		// them go first makes one write of what would be several.
		runtime.Gosched()
		s.mu.Lock()
		batch := s.out
		if s.err != nil { // what is in out was said not to be written
			s.mu.Unlock()
			return
		}
		if len(batch) == 0 { // the last time took it along
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

// write writes a batch, and reports whether the session goes on.
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
		// The responses that are on their way still count. That ends readLoop,
		// which ends the session.
		s.broken = fmt.Errorf("write: %w", err)
		s.failPending(false)
		_ = s.conn.SetReadDeadline(time.Now().Add(lastWords)) // if it fails, so does reading
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

// reject answers a PDU that makes no sense.
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

// serve acts on a request of the peer.
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

// act has the carrier handle a request.
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

// keepLoop ends requests whose time is over, and asks a silent peer whether it is
// there. One that does not answer that is gone.
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

// keep does the work of a tick, and reports whether the peer is to be asked.
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
	case mute && now.Sub(s.mute) >= s.enquire: // whatever else it says
		s.failLocked(errMute)
	}
	if s.err != nil || s.goodbye != 0 || s.retired != nil || s.enquired || now.Sub(s.heard) < s.enquire {
		return false
	}
	s.enquired = true
	return true
}

// ask sends a keep-alive. With its wait and the ticks before and after it, a peer
// that is gone is found within twice the interval. One that has said anything
// meanwhile is there. A peer that answers with an error has lost the bind.
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
