package web

import (
	"encoding/json"
	"net/http"
)

// ProblemType is the media type of a [Problem].
const ProblemType = "application/problem+json"

// Problem describes a refused request (RFC 9457). It is both the response and its error.
// Empty members are omitted.
type Problem struct {
	Type   string `json:"type,omitempty"` // URI of the kind of problem; "" means that Title is its only name
	Title  string `json:"title"`
	Status int    `json:"status,omitempty"` // HTTP status code
	Detail string `json:"detail"`

	Parameter  string             `json:"parameter,omitempty"`          // rejected field of the body, or part of the URL
	Instance   string             `json:"instance,omitempty"`           // ID of this occurrence
	Parameters []InvalidParameter `json:"invalid_parameters,omitempty"` // in APIs that report every rejected parameter
}

// InvalidParameter is a rejected parameter of a [Problem].
type InvalidParameter struct {
	Name   string `json:"name"`
	Reason string `json:"reason"`
}

// Error returns the detail, after the parameter if any.
func (p *Problem) Error() string {
	if p.Parameter == "" {
		return p.Detail
	}
	return p.Parameter + ": " + p.Detail
}

// Write responds with p. Without a type, the title is the text of the status code, as RFC
// 9457, section 4.2.1, requires.
func (p *Problem) Write(w http.ResponseWriter) {
	answer := *p
	if answer.Type == "" {
		answer.Title = http.StatusText(p.Status)
	}
	body, err := json.Marshal(answer)
	if err != nil {
		panic(err) // impossible for strings and a number
	}
	w.Header().Set("Content-Type", ProblemType)
	w.WriteHeader(p.Status)
	_, _ = w.Write(append(body, '\n')) // the client may have disconnected
}
