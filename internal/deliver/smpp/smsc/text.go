package smsc

import (
	"bytes"
	"strings"
	"time"

	"countersign/internal/deliver/gsm"
	"countersign/internal/deliver/smpp/pdu"
)

// Message is what the SMSC accepted with one submit_sm or data_sm: a whole message
// or a part of one.
type Message struct {
	At       time.Time
	Session  uint64 // see [Session.ID]
	SystemID string
	ID       string // as the response has it

	// Submitted is the message as it came; a data_sm has the same form.
	Submitted pdu.Message

	Alphabet string // see below; "binary" has no Text
	Header   []byte // the user data header, with its length; nil if there is none
	Text     string // of this part

	// Where the part stands: Part of Parts, of a message with Ref. 1 of 1 if it is
	// all there is.
	Ref, Part, Parts int

	// Whole is the text of all parts. Only that part has it which was last missing.
	Whole    string
	Complete bool // Whole is there
}

// The alphabets of a message, by its data_coding.
const (
	AlphabetGSM7   = "gsm7"
	AlphabetLatin1 = "latin1"
	AlphabetUCS2   = "ucs2"
	AlphabetBinary = "binary"
)

// joinKey tells messages with the same reference apart.
type joinKey struct{ systemID, from, to string }

// shows reports whether anybody wants to see messages.
func (s *Server) shows() bool { return s.config.OnMessage != nil || s.config.MaxMessages > 0 }

// show decodes a message and shows it.
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

// splitHeader reads the user data header, or the optional parameters that say the
// same (§5.3.2.22).
func splitHeader(m *pdu.Message) (h gsm.Header, payload []byte) {
	data := m.UserData()
	if m.ESMClass&pdu.ESMUDHI != 0 {
		h, payload, _ = gsm.ParseHeader(data) // of a wrong one there is what can be read
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

// alphabetOf reads data_coding (§5.2.19), and in its upper range the data coding
// scheme of 3GPP TS 23.038 §4. The default alphabet of this SMSC is that of GSM.
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

// firstWords is the beginning of a message as its receipt repeats it (Appendix
// B): 20 characters, of ASCII.
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
