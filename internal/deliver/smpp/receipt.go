package smpp

import (
	"fmt"
	"strconv"
	"strings"

	"countersign/internal/deliver"
	"countersign/internal/deliver/gsm"
	"countersign/internal/deliver/smpp/pdu"
	"countersign/internal/verify"
)

// IDForm says how a carrier writes the same message id in a receipt, seen from
// how it wrote it in its response.
type IDForm string

// The forms that carriers are known to use. Some give a hexadecimal id in the
// response and the same number in decimal in the receipt, or the other way
// round.
const (
	IDSame      IDForm = "same"
	IDToDecimal IDForm = "hex-to-decimal" // response hexadecimal, receipt decimal
	IDToHex     IDForm = "decimal-to-hex" // response decimal, receipt hexadecimal
)

const (
	hexDigits = "0123456789abcdefABCDEF"

	maxRef  = 128 // characters; an id has 64 at most (§5.2.23), but not everybody keeps to that
	maxCode = 32
)

// ref is how an id is kept: as the form and as little else as possible depends
// on, so that the response's and the receipt's agree. Numbers lose their leading
// zeros, hexadecimal letters their case.
func (f IDForm) ref(id string, receipt bool) string {
	id = strings.TrimSpace(id)
	if n, ok := f.number(id, receipt); ok {
		return strconv.FormatUint(n, 10)
	}
	// Ids of other letters may differ by their case alone; so may those of both.
	if lower := strings.ToLower(id); strings.Trim(id, hexDigits+"-") == "" && (lower == id || strings.ToUpper(id) == id) {
		id = lower
	}
	if trimmed := strings.TrimLeft(id, "0"); trimmed != "" || id == "" {
		return printable(trimmed, maxRef)
	}
	return "0"
}

// number reads an id that has two forms.
func (f IDForm) number(id string, receipt bool) (n uint64, ok bool) {
	var err error
	switch {
	case f == IDToDecimal && !receipt, f == IDToHex && receipt:
		n, err = strconv.ParseUint(id, 16, 64)
	case f == IDToHex:
		n, err = strconv.ParseUint(id, 10, 64)
	case f == IDToDecimal:
		if n, err = strconv.ParseUint(id, 10, 64); err != nil { // not converted after all
			n, err = strconv.ParseUint(id, 16, 64)
		}
	default:
		return 0, false
	}
	return n, err == nil
}

// printable is s if it is short printable ASCII, or else something that is, and is
// always the same for s: who stores it may take no other.
func printable(s string, limit int) string {
	for i := range len(s) {
		if s[i] < ' ' || s[i] > '~' {
			s = strings.Trim(strconv.QuoteToASCII(s[:min(len(s), limit)]), `"`)
			break
		}
	}
	return s[:min(len(s), limit)]
}

// isReceipt reports whether a message is about another. Some carriers forget to
// say so in esm_class, but no phone can send a receipted_message_id.
func isReceipt(m *pdu.Message) bool {
	_, aboutOne := m.TLVs.Get(pdu.TagReceiptedMessageID)
	return aboutOne || m.IsReceipt()
}

// textOfReceipt reports whether the text of a message has the fields of a receipt:
// the id of a message, and its state there or in a TLV.
func textOfReceipt(m *pdu.Message) bool {
	text := receiptText(m)
	_, state := m.TLVs.Get(pdu.TagMessageState)
	return text["id"] != "" && (text["stat"] != "" || state)
}

// readReceipt reads what a deliver_sm or data_sm reports. ok is false when it says
// nothing of use: it names no message, or its state is no news.
//
// receipted_message_id is the id of the response (§5.3.2.12). A carrier of which it
// is known that its receipts have another form is taken by the word of the text.
func readReceipt(m *pdu.Message, form IDForm) (r deliver.Receipt, ok bool) {
	text := receiptText(m)
	id, _ := m.TLVs.Text(pdu.TagReceiptedMessageID)
	if id = strings.TrimSpace(id); id == "" || form != IDSame && text["id"] != "" {
		id = text["id"]
	}
	r.Ref = form.ref(id, true)
	if state, has := m.TLVs.Uint(pdu.TagMessageState); has && state <= 0xFF {
		r.State = eventState(pdu.MessageState(state))
	}
	if r.State == "" {
		r.State = statState(text["stat"])
	}
	if r.State != verify.EventDelivered && r.State != verify.EventAccepted {
		r.Error = receiptError(m, text)
	}
	return r, r.Ref != "" && r.State != ""
}

// receiptError is the code of the network, if a TLV gives one (§5.3.2.31), or
// that of the text. 0 is none.
func receiptError(m *pdu.Message, text map[string]string) string {
	if v, ok := m.TLVs.Get(pdu.TagNetworkErrorCode); ok && len(v) == 3 {
		if code := int(v[1])<<8 | int(v[2]); code != 0 {
			return fmt.Sprintf("network %d:%d", v[0], code)
		}
	}
	if code := text["err"]; strings.Trim(code, "0") != "" {
		return "err " + printable(code, maxCode)
	}
	return ""
}

// eventState tells what a message_state (§5.2.28) means for an event; "" for
// nothing.
func eventState(s pdu.MessageState) verify.EventState {
	switch s {
	case pdu.StateEnroute, pdu.StateAccepted:
		return verify.EventAccepted
	case pdu.StateDelivered:
		return verify.EventDelivered
	case pdu.StateExpired:
		return verify.EventExpired
	case pdu.StateDeleted, pdu.StateUndeliverable:
		return verify.EventUndeliverable
	case pdu.StateRejected:
		return verify.EventRejected
	}
	return ""
}

// statState is eventState for the words of Appendix B and those that carriers
// made of them: only their beginning is told apart.
func statState(stat string) verify.EventState {
	stat = strings.ToUpper(stat)
	for _, known := range []struct {
		prefix string
		state  verify.EventState
	}{
		{"DELIV", verify.EventDelivered},
		{"EXPI", verify.EventExpired},
		{"DELET", verify.EventUndeliverable},
		{"UNDEL", verify.EventUndeliverable},
		{"FAIL", verify.EventUndeliverable},
		{"REJ", verify.EventRejected},
		{"ACCEP", verify.EventAccepted},
		{"ENROU", verify.EventAccepted},
		{"BUFF", verify.EventAccepted},
	} {
		if strings.HasPrefix(stat, known.prefix) {
			return known.state
		}
	}
	return ""
}

// receiptText reads the fields of the text form (Appendix B), which ends with the
// first characters of the message itself: what follows "text:" is not ours to
// read. Field names are told without case. Values have no spaces, but for the
// dates, which nobody needs; some carriers put one before the value.
func receiptText(m *pdu.Message) map[string]string {
	data := m.UserData()
	data = data[:min(len(data), 1024)]
	text := string(data)
	if m.DataCoding == pdu.CodingUCS2 {
		text = gsm.Decode(gsm.Coding{Alphabet: gsm.UCS2}, data)
	}
	fields := map[string]string{}
	last := ""
	for word := range strings.FieldsFuncSeq(text, func(r rune) bool { return r <= ' ' }) {
		name, value, ok := strings.Cut(word, ":")
		if !ok {
			if last != "" && fields[last] == "" {
				fields[last] = word
			}
			last = ""
			continue
		}
		name = strings.ToLower(name)
		if name == "text" {
			break
		}
		if fields[name] == "" {
			fields[name], last = value, name
		}
	}
	return fields
}
