package apiv1

import (
	"bytes"
	"encoding/json"
	"encoding/xml"
	"net/http"
	"slices"
	"strconv"
)

// format is the format of a response, named by the last part of the path.
type format string

const (
	formatJSON format = "json"
	formatXML  format = "xml"
)

// Roots of XML responses (spec §3).
const (
	rootResponse       = "response"
	rootVerifyResponse = "verify_response"
)

func parseFormat(name string, allowed []format) (format, bool) {
	return format(name), slices.Contains(allowed, format(name))
}

// contentType returns the exact media type without a charset, since an SDK compares the
// whole value.
func (f format) contentType() string {
	if f == formatXML {
		return "text/xml"
	}
	return "application/json"
}

func (f format) encode(answer any) ([]byte, error) {
	var b bytes.Buffer
	if f == formatXML {
		b.WriteString(xml.Header[:len(xml.Header)-1]) // without the trailing newline
		err := xml.NewEncoder(&b).Encode(answer)
		return b.Bytes(), err
	}
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false) // not embedded in HTML
	err := enc.Encode(answer)
	return bytes.TrimSuffix(b.Bytes(), []byte("\n")), err
}

func writeAnswer(w http.ResponseWriter, f format, code int, answer any) {
	body, err := f.encode(answer)
	if err != nil { // all responses can be encoded
		http.Error(w, http.StatusText(http.StatusInternalServerError), http.StatusInternalServerError)
		return
	}
	// Equivalent to Set, with one allocation for the three values.
	values := [...]string{f.contentType(), strconv.Itoa(len(body)), "no-store"}
	h := w.Header()
	h["Content-Type"] = values[0:1:1]
	h["Content-Length"] = values[1:2:2]
	h["Cache-Control"] = values[2:3:3] // responses contain numbers and codes
	w.WriteHeader(code)
	_, _ = w.Write(body) // the client may have disconnected
}

// writeProblem writes an HTTP code for a request that no endpoint serves, with a body of
// the same shape as other refusals.
func writeProblem(w http.ResponseWriter, f format, code int, text string) {
	answer := errorResponse{Status: "3", ErrorText: text}
	if code >= http.StatusInternalServerError {
		answer.Status = "5"
	}
	answer.XMLName.Local = rootResponse
	writeAnswer(w, f, code, answer)
}

// writeUnavailable writes a 503 with Retry-After: another node, or this node later, can
// serve the request.
func writeUnavailable(w http.ResponseWriter, f format) {
	w.Header().Set("Retry-After", "1")
	w.Header().Set("Connection", "close") // the retry may reach another node
	writeProblem(w, f, http.StatusServiceUnavailable, "Service Unavailable")
}
