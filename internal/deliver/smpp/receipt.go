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

// IDForm is the relation between the forms of a message id in the response and in
// the receipt.
type IDForm string

// Forms that carriers use. Some send a hexadecimal id in the response and the same
// number in decimal in the receipt, or vice versa.
const (
	IDSame      IDForm = "same"
	IDToDecimal IDForm = "hex-to-decimal" // response hexadecimal, receipt decimal
	IDToHex     IDForm = "decimal-to-hex" // response decimal, receipt hexadecimal
)

const (
	hexDigits = "0123456789abcdefABCDEF"

	maxRef  = 128 // characters; above the limit for ids, 64 (§5.2.23), which some carriers exceed
	maxCode = 32
)

// ref returns an id in normal form, so that the ids of response and receipt are
// equal. Leading zeros are removed, and hexadecimal letters become lower case.
func (f IDForm) ref(id string, receipt bool) string {
	id = strings.TrimSpace(id)
	if n, ok := f.number(id, receipt); ok {
		return strconv.FormatUint(n, 10)
	}
	// Case may be significant in ids with other letters or with mixed case.
	if lower := strings.ToLower(id); strings.Trim(id, hexDigits+"-") == "" && (lower == id || strings.ToUpper(id) == id) {
		id = lower
	}
	if trimmed := strings.TrimLeft(id, "0"); trimmed != "" || id == "" {
		return printable(trimmed, maxRef)
	}
	return "0"
}

// number parses an id of a carrier that uses two forms.
func (f IDForm) number(id string, receipt bool) (n uint64, ok bool) {
	var err error
	switch {
	case f == IDToDecimal && !receipt, f == IDToHex && receipt:
		n, err = strconv.ParseUint(id, 16, 64)
	case f == IDToHex:
		n, err = strconv.ParseUint(id, 10, 64)
	case f == IDToDecimal:
		if n, err = strconv.ParseUint(id, 10, 64); err != nil { // the receipt has the form of the response
			n, err = strconv.ParseUint(id, 16, 64)
		}
	default:
		return 0, false
	}
	return n, err == nil
}

// printable returns s as printable ASCII of at most limit characters, since the store
// may accept nothing else. Other characters are escaped; equal inputs have equal
// results.
func printable(s string, limit int) string {
	for i := range len(s) {
		if s[i] < ' ' || s[i] > '~' {
			s = strings.Trim(strconv.QuoteToASCII(s[:min(len(s), limit)]), `"`)
			break
		}
	}
	return s[:min(len(s), limit)]
}

// isReceipt reports whether a message is a receipt, by esm_class or by
// receipted_message_id. Some carriers omit the former; no phone can send the latter.
func isReceipt(m *pdu.Message) bool {
	_, hasID := m.TLVs.Get(pdu.TagReceiptedMessageID)
	return hasID || m.IsReceipt()
}

// textOfReceipt reports whether the text of a message has the fields of a receipt:
// the id of a message, and its state there or in a TLV.
func textOfReceipt(m *pdu.Message) bool {
	text := receiptText(m)
	_, state := m.TLVs.Get(pdu.TagMessageState)
	return text["id"] != "" && (text["stat"] != "" || state)
}

// readReceipt parses the receipt in a deliver_sm or data_sm. ok is false if it has no
// message id or no state that eventState maps.
//
// receipted_message_id is the id of the response (§5.3.2.12). If form is not IDSame,
// the id in the text takes precedence.
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

// receiptError returns the network_error_code (§5.3.2.31), otherwise the error code of
// the text; "" if both are 0 or missing.
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

// eventState returns the event state for a message_state (§5.2.28); "" for all others.
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

// statState is eventState for the stat field of the text. It compares prefixes, since
// carriers vary the words of Appendix B.
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

// receiptText parses the fields of a receipt in text form (Appendix B) up to "text:",
// which precedes the beginning of the original message. Field names are
// case-insensitive. Only dates contain spaces, and they are not used. Some carriers
// send a space before a value.
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
