package sip

import (
	"bytes"
	"strings"
)

// The parser of sipgo supports only the canonical spelling of headers: it does not find
// the parameter "tag" in "; TAG = x". RFC 3261 allows white space around separators,
// any case in names, folded lines (§7.3.1, §25.1) and compact names (§7.3.3). Every
// message is therefore rewritten before it is parsed.

// endOfHead terminates the head of a message: its start line and headers.
const endOfHead = "\r\n\r\n"

// Bounds of a message. Datagrams are read sequentially, so a slow one delays all.
const (
	maxHead       = 16 << 10 // octets of a head, with its empty line
	maxParameters = 64       // parameters of a header value
)

// normalised returns a message in canonical spelling. The body is unchanged, as are
// bytes without the end of a head, such as a keep-alive. It returns nil if the head
// exceeds maxHead.
func normalised(message []byte) []byte {
	message = append(message[:0:0], message...)
	if trimmed := bytes.TrimLeft(message, "\r\n"); len(trimmed) > 0 {
		message = trimmed
	}
	end := bytes.Index(message, []byte(endOfHead))
	if end < 0 {
		return message
	}
	if end += len(endOfHead); end > maxHead {
		return nil
	}
	return append(normalisedHead(message[:end]), message[end:]...)
}

// normalisedHead returns a head in canonical spelling: long names, one line per header,
// no white space around separators of parameters, and parameter names in lower case.
// head must end in an empty line.
func normalisedHead(head []byte) []byte {
	lines := unfolded(string(head))
	out := make([]byte, 0, len(head)+16)
	for i, line := range lines {
		if i == 0 {
			out = append(append(out, startLine(line)...), "\r\n"...)
			continue
		}
		for _, header := range headerLines(line) {
			out = append(append(out, header...), "\r\n"...)
		}
	}
	return append(out, "\r\n"...)
}

// unfolded returns the lines of a head without the final empty line. A line that begins
// with white space continues the previous line (RFC 3261 §7.3.1).
func unfolded(head string) []string {
	var lines []string
	var folded []byte // last line, if a continuation was found
	for line := range strings.SplitSeq(strings.TrimSuffix(head, endOfHead), "\r\n") {
		if len(lines) > 0 && line != "" && (line[0] == ' ' || line[0] == '\t') {
			if folded == nil {
				folded = []byte(lines[len(lines)-1])
			}
			folded = append(append(bytes.TrimRight(folded, " \t"), ' '), strings.Trim(line, " \t")...)
			continue
		}
		if folded != nil {
			lines[len(lines)-1], folded = string(folded), nil
		}
		lines = append(lines, line)
	}
	if folded != nil {
		lines[len(lines)-1] = string(folded)
	}
	return lines
}

// startLine adds the space that must end a status line without a reason phrase. Some
// peers omit it: "SIP/2.0 200".
func startLine(line string) string {
	const version = "SIP/"
	if len(line) >= len(version) && strings.EqualFold(line[:len(version)], version) && strings.Count(line, " ") == 1 {
		return line + " "
	}
	return line
}

// longName returns the long name of a compact header name (RFC 3261 §7.3.3 and the IANA
// registry). Other names are returned unchanged.
func longName(name string) string {
	if len(name) != 1 {
		return name
	}
	switch name[0] | 0x20 { // to lower case
	case 'a':
		return "Accept-Contact"
	case 'b':
		return "Referred-By"
	case 'c':
		return "Content-Type"
	case 'd':
		return "Request-Disposition"
	case 'e':
		return "Content-Encoding"
	case 'f':
		return "From"
	case 'i':
		return "Call-ID"
	case 'j':
		return "Reject-Contact"
	case 'k':
		return "Supported"
	case 'l':
		return "Content-Length"
	case 'm':
		return "Contact"
	case 'o':
		return "Event"
	case 'r':
		return "Refer-To"
	case 's':
		return "Subject"
	case 't':
		return "To"
	case 'u':
		return "Allow-Events"
	case 'v':
		return "Via"
	case 'x':
		return "Session-Expires"
	}
	return name
}

// headerLines returns a header in canonical spelling, with one line per list element
// (RFC 3261 §7.3.1). Values that Countersign does not use are unchanged.
func headerLines(line string) []string {
	name, value, ok := strings.Cut(line, ":")
	if !ok {
		return []string{line}
	}
	name, value = longName(strings.Trim(name, " \t")), strings.Trim(value, " \t")
	values := []string{value}
	switch strings.ToLower(name) {
	case "via":
		values = list(value, sentBy)
	case "contact", "route", "record-route":
		values = list(value, address)
	case "from", "to", "session-expires":
		values[0] = withParameters(value, address)
	case "cseq":
		values[0] = strings.Join(strings.Fields(value), " ")
	}
	for i, v := range values {
		values[i] = name + ": " + v
	}
	return values
}

// list normalises the elements of a list; see withParameters.
func list(text string, head func(string) string) []string {
	var values []string
	for _, element := range split(text, ',') {
		if v := withParameters(element, head); v != "" {
			values = append(values, v)
		}
	}
	if values == nil {
		return []string{""}
	}
	return values
}

// withParameters normalises a value with parameters. head normalises the part before
// them. Parameters beyond maxParameters are dropped: sipgo compares each with all
// previous ones.
func withParameters(text string, head func(string) string) string {
	parts := split(text, ';')
	parts = parts[:min(len(parts), 1+maxParameters)]
	var value strings.Builder
	value.WriteString(head(parts[0]))
	for _, part := range parts[1:] {
		if p := parameter(part); p != "" {
			value.WriteString(";" + p)
		}
	}
	return value.String()
}

// parameter returns "name=value" with the name in lower case. It returns "" if the
// value is quoted and contains a separator or white space, since sipgo would parse a
// parameter inside it. No parameter that Countersign uses is quoted.
func parameter(text string) string {
	name, value, given := strings.Cut(text, "=")
	name, value = strings.ToLower(strings.Trim(name, " \t")), strings.Trim(value, " \t")
	switch {
	case strings.HasPrefix(value, `"`) && strings.ContainsAny(value, ";, \t"):
		return ""
	case given:
		return name + "=" + value
	}
	return name
}

// address removes the white space around the URI and the display name of an address.
func address(text string) string {
	text = strings.Trim(text, " \t")
	open := len(split(text, '<')[0])
	if open == len(text) {
		return text
	}
	name := strings.Trim(text[:open], " \t")
	uri, rest, _ := strings.Cut(text[open+1:], ">")
	if name != "" {
		name += " "
	}
	return name + "<" + strings.Trim(uri, " \t") + ">" + strings.Trim(rest, " \t")
}

// sentBy normalises the protocol and host of a Via, as in "SIP / 2.0 / UDP  host : 5060".
func sentBy(text string) string {
	text = strings.Join(strings.Fields(text), " ")
	for _, separator := range []string{"/", ":"} {
		text = strings.ReplaceAll(text, " "+separator, separator)
		text = strings.ReplaceAll(text, separator+" ", separator)
	}
	return text
}

// split splits text at a separator outside quoted strings and angle brackets.
func split(text string, separator byte) []string {
	var parts []string
	begin, quoted, bracketed := 0, false, false
	for i := 0; i < len(text); i++ {
		switch b := text[i]; {
		case quoted:
			if b == '\\' {
				i++ // the next byte is escaped
			}
			quoted = b != '"'
		case b == separator && !bracketed:
			parts = append(parts, text[begin:i])
			begin = i + 1
		case b == '"' && !bracketed:
			quoted = true
		case b == '<':
			bracketed = true
		case b == '>':
			bracketed = false
		}
	}
	return append(parts, text[begin:])
}
