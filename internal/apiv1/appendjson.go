package apiv1

import (
	"unicode/utf8"
)

// appender is an answer that writes itself as JSON: exactly what encoding/json makes of
// it without HTML escapes, at a fraction of the time. Those are the answers that the
// server gives thousands of times a second; the others go through encoding/json.
type appender interface {
	appendJSON(b []byte) []byte
}

func (s startResponse) appendJSON(b []byte) []byte {
	b = appendField(b, '{', "request_id", s.RequestID)
	b = appendField(b, ',', "status", s.Status)
	return append(b, '}')
}

func (c checkResponse) appendJSON(b []byte) []byte {
	b = appendField(b, '{', "request_id", c.RequestID)
	b = appendField(b, ',', "status", c.Status)
	b = appendField(b, ',', "event_id", c.EventID)
	b = appendField(b, ',', "price", c.Price)
	b = appendField(b, ',', "currency", c.Currency)
	b = appendField(b, ',', "estimated_price_messages_sent", c.EstimatedPrice)
	return append(b, '}')
}

func (c controlResponse) appendJSON(b []byte) []byte {
	b = appendField(b, '{', "status", c.Status)
	b = appendField(b, ',', "command", c.Command)
	return append(b, '}')
}

func (e errorResponse) appendJSON(b []byte) []byte {
	next := byte('{')
	if e.RequestID != "" {
		b = appendField(b, next, "request_id", e.RequestID)
		next = ','
	}
	b = appendField(b, next, "status", e.Status)
	b = appendField(b, ',', "error_text", e.ErrorText)
	if e.Network != "" {
		b = appendField(b, ',', "network", e.Network)
	}
	return append(b, '}')
}

func (s searchErrorResponse) appendJSON(b []byte) []byte {
	b = appendField(b, '{', "status", s.Status)
	b = appendField(b, ',', "error_text", s.ErrorText)
	return append(b, '}')
}

func (s searchResponse) appendJSON(b []byte) []byte {
	b = appendField(b, '{', "request_id", s.RequestID)
	b = appendField(b, ',', "account_id", s.AccountID)
	b = appendField(b, ',', "number", s.Number)
	b = appendField(b, ',', "sender_id", s.SenderID)
	b = appendField(b, ',', "date_submitted", s.DateSubmitted)
	b = appendField(b, ',', "date_finalized", s.DateFinalized)
	b = append(b, `,"checks":`...)
	b = appendList(b, s.Checks)
	b = appendField(b, ',', "first_event_date", s.FirstEventDate)
	b = appendField(b, ',', "last_event_date", s.LastEventDate)
	b = appendField(b, ',', "price", s.Price)
	b = appendField(b, ',', "currency", s.Currency)
	b = appendField(b, ',', "status", s.Status)
	b = appendField(b, ',', "estimated_price_messages_sent", s.EstimatedPrice)
	b = append(b, `,"events":`...)
	b = appendList(b, s.Events)
	return append(b, '}')
}

func (s searchListResponse) appendJSON(b []byte) []byte {
	b = append(b, `{"verification_requests":`...)
	b = appendList(b, s.Requests)
	return append(b, '}')
}

func (c checkItem) appendJSON(b []byte) []byte {
	b = appendField(b, '{', "date_received", c.DateReceived)
	b = appendField(b, ',', "code", c.Code)
	b = appendField(b, ',', "status", c.Status)
	b = appendField(b, ',', "ip_address", c.IPAddress)
	return append(b, '}')
}

func (e eventItem) appendJSON(b []byte) []byte {
	b = appendField(b, '{', "id", e.ID)
	b = appendField(b, ',', "type", e.Type)
	b = appendField(b, ',', "status", e.Status)
	if e.Note != "" {
		b = appendField(b, ',', "note", e.Note)
	}
	return append(b, '}')
}

func appendList[T appender](b []byte, list []T) []byte {
	if list == nil {
		return append(b, "null"...)
	}
	b = append(b, '[')
	for i, item := range list {
		if i > 0 {
			b = append(b, ',')
		}
		b = item.appendJSON(b)
	}
	return append(b, ']')
}

// appendField writes a field behind what separates it from the one before. Its name is
// one that needs no escapes.
func appendField(b []byte, separator byte, name, value string) []byte {
	b = append(b, separator, '"')
	b = append(b, name...)
	b = append(b, `":"`...)
	b = appendEscaped(b, value)
	return append(b, '"')
}

// appendEscaped writes text as it stands between the quotes of a JSON string, with
// the escapes of encoding/json.
func appendEscaped(b []byte, text string) []byte {
	const hex = "0123456789abcdef"
	start := 0 // of what is not written yet
	for i := 0; i < len(text); {
		c := text[i]
		if c >= ' ' && c != '"' && c != '\\' && c < utf8.RuneSelf {
			i++
			continue
		}
		if c >= utf8.RuneSelf {
			r, size := utf8.DecodeRuneInString(text[i:])
			switch {
			case r == utf8.RuneError && size == 1:
				b = append(append(b, text[start:i]...), `\ufffd`...)
				start = i + size
			case r == '\u2028' || r == '\u2029': // ends of line to JavaScript
				b = append(append(b, text[start:i]...), `\u202`...)
				b = append(b, hex[r&0xf])
				start = i + size
			}
			i += size
			continue
		}
		b = append(b, text[start:i]...)
		switch c {
		case '"', '\\':
			b = append(b, '\\', c)
		case '\b':
			b = append(b, `\b`...)
		case '\f':
			b = append(b, `\f`...)
		case '\n':
			b = append(b, `\n`...)
		case '\r':
			b = append(b, `\r`...)
		case '\t':
			b = append(b, `\t`...)
		default:
			b = append(b, `\u00`...)
			b = append(b, hex[c>>4], hex[c&0xf])
		}
		i++
		start = i
	}
	return append(b, text[start:]...)
}
