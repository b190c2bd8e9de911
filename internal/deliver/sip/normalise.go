package sip

import (
	"bytes"
	"strings"
)

// The parser of sipgo reads the canonical spelling of a header only: it looks for
// the parameter "tag", but finds none in "; TAG = x". RFC 3261 allows white space
// around separators, any case in names, folded lines (§7.3.1, §25.1) and compact
// names (§7.3.3). Every message is therefore rewritten before it is parsed.

// endOfHead ends the start line and the headers of a message.
const endOfHead = "\r\n\r\n"

// Bounds of a message, since all datagrams are read one after the other.
const (
	maxHead       = 16 << 10 // octets, with the empty line
	maxParameters = 64       // of a value
)

// normalised returns a message in canonical spelling. The body is unchanged, and so
// are bytes without the end of a head, such as a keep-alive. For a head longer than
// maxHead it returns nil.
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

// normalisedHead returns a head in canonical spelling: long names, and one line for
// each header. Headers with parameters have no white space around separators and
// parameter names in lower case. head ends in an empty line.
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

// unfolded returns the lines of a head without the empty one at its end. A line that
// begins with white space continues the one before (RFC 3261 §7.3.1).
func unfolded(head string) []string {
	var lines []string
	var folded []byte // the last line, if it is continued
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

// startLine adds the space that ends a status line without a reason phrase, which
// some peers leave out: "SIP/2.0 200".
func startLine(line string) string {
	const version = "SIP/"
	if len(line) >= len(version) && strings.EqualFold(line[:len(version)], version) && strings.Count(line, " ") == 1 {
		return line + " "
	}
	return line
}

// longName returns the name of a header for its compact form (RFC 3261 §7.3.3, and
// the registry of IANA); other names are returned unchanged.
func longName(name string) string {
	if len(name) != 1 {
		return name
	}
	switch name[0] | 0x20 { // lower case
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

// headerLines returns a header in canonical spelling. Each element of a list has a
// line (RFC 3261 §7.3.1). Values that Countersign does not read are unchanged.
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
// the parameters. It keeps the first maxParameters: sipgo compares each with all
// before it.
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

// parameter returns "name=value" with the name in lower case. A quoted value that
// holds a separator or white space is left out, "": sipgo takes a parameter inside
// it for one of the header. No parameter that Countersign reads is quoted.
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

// address trims the URI of an address and the space around its display name.
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

// sentBy normalises protocol and host of a Via: "SIP / 2.0 / UDP  host : 5060".
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
