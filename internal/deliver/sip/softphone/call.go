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

// End is how a call ended, in a word.
type End string

// The ends of calls.
const (
	Refused   End = "refused"   // with [Call.Status]
	Cancelled End = "cancelled" // by the other side, before the answer
	Bye       End = "bye"       // from the other side
	HungUp    End = "hung up"   // by the phone
	Dropped   End = "dropped"   // by the phone, without a word
	NoAck     End = "no ack"    // of the answer, so that the phone hung up
	Closed    End = "closed"    // with the phone
)

// Call is what is known of a call.
type Call struct {
	ID       string       // Call-ID, as the other side has written it
	From, To string       // the user parts of the addresses
	Asserted string       // the user part of P-Asserted-Identity; "" if there is none
	Invite   *sip.Request // as it came; not to be changed

	Began    time.Time // when the INVITE came
	Answered time.Time // zero if it was not
	Over     time.Time // zero while it goes on
	Ended    End       // "" while it goes on
	Status   int       // of the final response of the phone; 0 if there was none

	Acked     bool // an ACK came for the answer
	Refreshes int  // UPDATE and re-INVITE that came

	Heard     []byte // payload of the packets that came, as many as 10 minutes
	Codec     uint8  // of the last of them
	Encrypted bool   // the sound was to be
	Keys      string // that the other side has pressed
	Stats     media.Stats

	// Of the second phone of a fork:

	SecondAcked bool // an ACK came for its answer
	Second      End  // [Bye] if the other side ended its call; otherwise ""

	Err error // why a step of the script failed, or there was no sound
}

// Sound decodes what was heard.
func (c Call) Sound() audio.Samples { return law(c.Codec).AppendDecode(nil, c.Heard) }

func law(codec uint8) audio.Law {
	if codec == media.PCMA {
		return audio.ALaw
	}
	return audio.MuLaw
}

// call is a call, and the phone's side of it.
type call struct {
	phone  *Phone
	dialog *sipgo.DialogServerSession
	tx     sip.ServerTransaction
	leave  context.CancelFunc // ends what the phone does in the call

	acked    chan struct{} // closed by the first ACK
	ack      sync.Once
	crossing chan struct{} // closed by a CANCEL, before it is read
	cross    sync.Once
	fork     fork
	crossed  chan struct{} // closed when the answer has left, so that it may be

	mu    sync.Mutex
	Call                    // what comes from the INVITE stays as it is
	offer media.Description // of the other side, its last
	said  media.Description // of the phone, its last
	media *media.Session    // nil before there is an answer
	news  chan struct{}     // closed when something is heard
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

// note changes what is known of the call.
func (c *call) note(change func(*Call)) {
	c.mu.Lock()
	defer c.mu.Unlock()
	change(&c.Call)
}

// end says how the call ended, and reports whether that was not said before.
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

// hear keeps a packet of sound.
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

// heard gives what was heard after the first octets, and what is closed when there
// is more.
func (c *call) heard(after int) (fresh audio.Samples, more <-chan struct{}) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return law(c.Codec).AppendDecode(nil, c.Heard[min(after, len(c.Heard)):]), c.news
}
