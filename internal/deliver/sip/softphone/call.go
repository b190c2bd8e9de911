package softphone

import (
	"context"
	"slices"
	"sync"
	"time"

	"github.com/emiago/sipgo"
	"github.com/emiago/sipgo/sip"

	"countersign/internal/deliver/sip/media"
	"countersign/internal/deliver/tts/audio"
)

// End is the way in which a call ended.
type End string

// The ends of calls.
const (
	Refused   End = "refused"   // the phone refused it with [Call.Status]
	Cancelled End = "cancelled" // the other side cancelled it before the answer
	Bye       End = "bye"       // the other side hung up
	HungUp    End = "hung up"   // the phone hung up
	Dropped   End = "dropped"   // the phone disappeared without a BYE
	NoAck     End = "no ack"    // the answer was not acknowledged, so the phone hung up
	Closed    End = "closed"    // the phone was closed
)

// Call is the record of a call.
type Call struct {
	ID       string       // Call-ID
	From, To string       // user parts of the addresses
	Asserted string       // user part of P-Asserted-Identity; "" if absent
	Invite   *sip.Request // received INVITE; must not be modified

	Began    time.Time // time of the INVITE
	Answered time.Time // zero if not answered
	Over     time.Time // zero during the call
	Ended    End       // "" during the call
	Status   int       // status of the phone's final response; 0 before it

	Acked     bool // the answer was acknowledged
	Refreshes int  // received UPDATE and re-INVITE

	Heard     []byte // payload of received audio, at most 10 minutes
	Codec     uint8  // codec of the last packet in Heard
	Encrypted bool   // SRTP was negotiated
	Keys      string // keys pressed by the other side
	Stats     media.Stats

	// The second phone of a fork:

	SecondAcked bool // its answer was acknowledged
	Second      End  // [Bye] if the other side ended its call; otherwise ""

	Err error // error of a script step or of the SDP negotiation
}

// Sound decodes the received audio.
func (c Call) Sound() audio.Samples { return law(c.Codec).AppendDecode(nil, c.Heard) }

func law(codec uint8) audio.Law {
	if codec == media.PCMA {
		return audio.ALaw
	}
	return audio.MuLaw
}

// call is a call with the phone's state.
type call struct {
	phone  *Phone
	dialog *sipgo.DialogServerSession
	tx     sip.ServerTransaction
	leave  context.CancelFunc // ends the phone's side of the call

	acked    chan struct{} // closed by the first ACK
	ack      sync.Once
	crossing chan struct{} // closed by a CANCEL that is held back
	cross    sync.Once
	fork     fork
	crossed  chan struct{} // closed when the answer was sent; releases the CANCEL

	mu    sync.Mutex
	Call                    // fields of the INVITE never change
	offer media.Description // last description of the other side
	said  media.Description // last description of the phone
	media *media.Session    // nil before the SDP negotiation
	news  chan struct{}     // closed when audio is received
}

func newCall(p *Phone, dialog *sipgo.DialogServerSession, req *sip.Request, tx sip.ServerTransaction) *call {
	c := &call{
		phone: p, dialog: dialog, tx: tx,
		acked: make(chan struct{}), crossing: make(chan struct{}), crossed: make(chan struct{}),
		news: make(chan struct{}),
		Call: Call{ID: req.CallID().Value(), Invite: req.Clone(), Began: time.Now()},
	}
	if p.cfg.Fork {
		c.fork = fork{tag: newNonce(), acked: make(chan struct{})}
	}
	if from := req.From(); from != nil {
		c.From = from.Address.User
	}
	if to := req.To(); to != nil {
		c.To = to.Address.User
	}
	if h := req.GetHeader("P-Asserted-Identity"); h != nil {
		var uri sip.Uri
		params := sip.NewParams()
		if _, err := sip.ParseAddressValue(h.Value(), &uri, &params); err == nil {
			c.Asserted = uri.User
		}
	}
	return c
}

// note updates the record of the call.
func (c *call) note(change func(*Call)) {
	c.mu.Lock()
	defer c.mu.Unlock()
	change(&c.Call)
}

// end records the end of the call. It returns false if an end was already recorded.
func (c *call) end(how End) (first bool) {
	c.note(func(k *Call) {
		if first = k.Ended == ""; first {
			k.Ended, k.Over = how, time.Now()
		}
	})
	return first
}

func (c *call) snapshot() Call {
	c.mu.Lock()
	k, session := c.Call, c.media
	k.Heard = slices.Clone(k.Heard)
	c.mu.Unlock()
	if session != nil {
		k.Stats = session.Stats() // not under mu: a session calls hear
	}
	return k
}

// hear records a packet of audio.
func (c *call) hear(codec uint8, payload []byte) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.Codec = codec
	if room := int(maxHeard.Seconds())*audio.Rate - len(c.Heard); len(payload) <= room {
		c.Heard = append(c.Heard, payload...)
	}
	close(c.news)
	c.news = make(chan struct{})
}

// heard returns the audio received after the given number of octets, and a channel that
// is closed when more arrives.
func (c *call) heard(after int) (fresh audio.Samples, more <-chan struct{}) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return law(c.Codec).AppendDecode(nil, c.Heard[min(after, len(c.Heard)):]), c.news
}
