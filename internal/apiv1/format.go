package apiv1

import (
	"bytes"
	"encoding/json"
	"encoding/xml"
	"net/http"
	"slices"
	"strconv"
)

// format is the form of an answer, named by the last part of the path.
type format string

const (
	formatJSON format = "json"
	formatXML  format = "xml"
)

// Roots of XML answers (spec §3).
const (
	rootResponse       = "response"
	rootVerifyResponse = "verify_response"
)

func parseFormat(name string, allowed []format) (format, bool) {
	return format(name), slices.Contains(allowed, format(name))
}

// contentType is exact, without a charset: an SDK compares the whole of it.
func (f format) contentType() string {
	if f == formatXML {
		return "text/xml"
	}
	return "application/json"
}

func (f format) encode(answer any) ([]byte, error) {
	var b bytes.Buffer
	if f == formatXML {
		b.WriteString(xml.Header[:len(xml.Header)-1]) // without its line end
		err := xml.NewEncoder(&b).Encode(answer)
		return b.Bytes(), err
	}
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false) // it is not HTML
	err := enc.Encode(answer)
	return bytes.TrimSuffix(b.Bytes(), []byte("\n")), err
}

func writeAnswer(w http.ResponseWriter, f format, code int, answer any) {
	body, err := f.encode(answer)
	if err != nil { // no answer of ours has a value that cannot be encoded
		http.Error(w, http.StatusText(http.StatusInternalServerError), http.StatusInternalServerError)
		return
	}
	// As Set would, with one allocation for the three.
	values := [...]string{f.contentType(), strconv.Itoa(len(body)), "no-store"}
	h := w.Header()
	h["Content-Type"] = values[0:1:1]
	h["Content-Length"] = values[1:2:2]
	h["Cache-Control"] = values[2:3:3] // answers hold numbers and codes
	w.WriteHeader(code)
	_, _ = w.Write(body) // a client that has gone has no use for an error
}

// writeProblem answers what is not a call of the API with an HTTP code, and a
// body in the same shape as any other refusal.
func writeProblem(w http.ResponseWriter, f format, code int, text string) {
	answer := errorResponse{Status: "3", ErrorText: text}
	if code >= http.StatusInternalServerError {
		answer.Status = "5"
	}
	answer.XMLName.Local = rootResponse
	writeAnswer(w, f, code, answer)
}

// writeUnavailable turns a call away that another node, or this one a moment
// later, can serve.
func writeUnavailable(w http.ResponseWriter, f format) {
	w.Header().Set("Retry-After", "1")
	w.Header().Set("Connection", "close") // the next try may reach another node
	writeProblem(w, f, http.StatusServiceUnavailable, "Service Unavailable")
}
