package adminapi

import (
	"context"
	"errors"
	"io"
	"net/http"
	"sync"
)

// InProcess returns a transport that serves the requests of a [Client] in process, for a
// user with direct access to the database: name is the user, source the host.
func (h *Handler) InProcess(name, source string) http.RoundTripper {
	return &inProcess{h, identity{name: name, source: source}}
}

type inProcess struct {
	handler *Handler
	who     identity
}

// RoundTrip returns once the response begins; the rest is written while the body is read.
// Closing the body ends the handler.
func (t *inProcess) RoundTrip(r *http.Request) (*http.Response, error) {
	ctx, cancel := context.WithCancel(context.WithValue(r.Context(), identityKey{}, t.who))
	in := r.Clone(ctx)
	if in.Body == nil {
		in.Body = http.NoBody
	}
	reader, writer := io.Pipe()
	a := &localAnswer{header: http.Header{}, pipe: writer, begun: make(chan struct{})}
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		defer abort(writer)
		t.handler.ServeHTTP(a, in)
		a.WriteHeader(http.StatusOK)
		_ = writer.Close() // never fails (io.Pipe)
	}()
	<-a.begun
	return &http.Response{
		Status: http.StatusText(a.code), StatusCode: a.code, Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1,
		Header: a.sent, ContentLength: -1, Request: r, Body: &localBody{reader, cancel, ended},
	}, nil
}

var errAborted = errors.New("the response was aborted")

// abort ends a local response like a broken connection.
func abort(pipe *io.PipeWriter) {
	switch fault := recover(); fault {
	case nil:
	case http.ErrAbortHandler:
		_ = pipe.CloseWithError(errAborted) // never fails (io.Pipe)
	default:
		panic(fault)
	}
}

// localAnswer is the response writer of the handler.
type localAnswer struct {
	header http.Header
	pipe   *io.PipeWriter

	once  sync.Once
	begun chan struct{} // closed once code and sent are set
	code  int
	sent  http.Header
}

// Header returns the header to send.
func (a *localAnswer) Header() http.Header { return a.header }

// WriteHeader starts the response.
func (a *localAnswer) WriteHeader(code int) {
	a.once.Do(func() {
		a.code, a.sent = code, a.header.Clone()
		close(a.begun)
	})
}

// Write blocks until the data is read.
func (a *localAnswer) Write(b []byte) (int, error) {
	a.WriteHeader(http.StatusOK)
	return a.pipe.Write(b)
}

// localBody is the body for the client.
type localBody struct {
	*io.PipeReader
	cancel context.CancelFunc
	ended  chan struct{}
}

// Close ends the handler and waits for it.
func (b *localBody) Close() error {
	b.cancel()
	err := b.PipeReader.Close()
	<-b.ended
	return err
}
