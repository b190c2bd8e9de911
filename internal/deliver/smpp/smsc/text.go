package smsc

import (
	"bytes"
	"strings"
	"time"

	"countersign/internal/deliver/gsm"
	"countersign/internal/deliver/smpp/pdu"
)

// Message is an accepted submit_sm or data_sm: a whole message or one part.
type Message struct {
	At       time.Time
	Session  uint64 // see [Session.ID]
	SystemID string
	ID       string // message_id in the response

	// Submitted is the received message. A data_sm is converted.
	Submitted pdu.Message

	Alphabet string // an Alphabet constant; AlphabetBinary has no Text
	Header   []byte // user data header with its length octet, or nil
	Text     string // text of this part

	// Part is the number of the part, from 1 to Parts, of the message with reference
	// Ref. Both are 1 for a message in one part.
	Ref, Part, Parts int

	// Whole is the text of all parts. It is set on the part that completes the message.
	Whole    string
	Complete bool // Whole is set
}

// Alphabets of a message, by its data_coding.
const (
	AlphabetGSM7   = "gsm7"
	AlphabetLatin1 = "latin1"
	AlphabetUCS2   = "ucs2"
	AlphabetBinary = "binary"
)

// joinKey distinguishes messages with the same reference.
type joinKey struct{ systemID, from, to string }

// shows reports whether messages must be decoded.
func (s *Server) shows() bool { return s.config.OnMessage != nil || s.config.MaxMessages > 0 }

// show decodes a message, stores it, and passes it to OnMessage.
func (s *Server) show(session *Session, id string, m *pdu.Message, now time.Time) {
	alphabetName, alphabet, isText := alphabetOf(m.DataCoding)
	shown := Message{
		At: now.UTC(), Session: session.id, SystemID: session.SystemID(), ID: id, Submitted: *m, Alphabet: alphabetName,
		Part: 1, Parts: 1,
	}
	header, payload := splitHeader(m)
	if header.Octets > 0 {
		shown.Header = bytes.Clone(m.UserData()[:header.Octets])
	}
	if header.Total > 0 {
		shown.Ref, shown.Part, shown.Parts = int(header.Ref), header.Seq, header.Total
	}
	s.textMu.Lock()
	defer s.textMu.Unlock()
	if isText {
		shown.Text = gsm.Decode(header.Coding(alphabet), payload)
		key := joinKey{shown.SystemID, m.Source.Addr, m.Destination.Addr}
		shown.Whole, shown.Complete = s.joiner.Add(key, alphabet, header, payload)
	}
	s.remember(shown)
	if s.config.OnMessage != nil {
		s.config.OnMessage(shown)
	}
}

func (s *Server) remember(m Message) {
	if s.config.MaxMessages <= 0 {
		return
	}
	s.seenMu.Lock()
	defer s.seenMu.Unlock()
	if len(s.seen) >= s.config.MaxMessages {
		s.seen = s.seen[1:]
	}
	s.seen = append(s.seen, m)
}

// splitHeader parses the user data header, or the equivalent optional parameters
// (§5.3.2.22).
func splitHeader(m *pdu.Message) (h gsm.Header, payload []byte) {
	data := m.UserData()
	if m.ESMClass&pdu.ESMUDHI != 0 {
		h, payload, _ = gsm.ParseHeader(data) // keeps the valid fields of an invalid header
		return h, payload
	}
	ref, hasRef := m.TLVs.Uint(pdu.TagSARMsgRefNum)
	total, hasTotal := m.TLVs.Uint(pdu.TagSARTotalSegments)
	seq, hasSeq := m.TLVs.Uint(pdu.TagSARSegmentSeqnum)
	if hasRef && hasTotal && hasSeq && seq >= 1 && seq <= total && total <= gsm.MaxParts {
		h = gsm.Header{Ref: uint16(ref), Wide: true, Total: int(total), Seq: int(seq)}
	}
	return h, data
}

// alphabetOf decodes data_coding (§5.2.19), and in its upper range the data coding
// scheme of 3GPP TS 23.038 §4. The default alphabet of this SMSC is GSM.
func alphabetOf(coding uint8) (name string, a gsm.Alphabet, isText bool) {
	switch {
	case coding == pdu.CodingDefault, coding&0xFC == 0x10, coding&0xF4 == 0xF0:
		return AlphabetGSM7, gsm.GSM7, true
	case coding == pdu.CodingIA5, coding == pdu.CodingLatin1:
		return AlphabetLatin1, gsm.Latin1, true
	case coding == pdu.CodingUCS2, coding&0xFC == 0x18:
		return AlphabetUCS2, gsm.UCS2, true
	}
	return AlphabetBinary, 0, false
}

// firstWords returns the beginning of a message for its receipt: 20 ASCII characters
// (Appendix B).
func firstWords(m *pdu.Message) string {
	header, payload := splitHeader(m)
	_, alphabet, isText := alphabetOf(m.DataCoding)
	if !isText {
		return ""
	}
	text := strings.Map(func(r rune) rune {
		if r < ' ' || r > '~' {
			return '.'
		}
		return r
	}, gsm.Decode(header.Coding(alphabet), payload[:min(len(payload), 40)]))
	return text[:min(len(text), 20)]
}
