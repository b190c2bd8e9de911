package adminapi

import (
	"context"
	"errors"
	"io"
	"net/http"
	"sync"
)

// InProcess serves the requests of a [Client] in the process itself, as those of who
// works on the database with its own hands: name is a user, and source its machine.
func (h *Handler) InProcess(name, source string) http.RoundTripper {
	return &inProcess{h, identity{name: name, source: source}}
}

type inProcess struct {
	handler *Handler
	who     identity
}

// RoundTrip returns as soon as the answer begins, and the rest of it is written while
// it is read. Closing the body ends the handler.
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

var errAborted = errors.New("the answer was broken off")

// abort ends a local answer as a connection would end.
func abort(pipe *io.PipeWriter) {
	switch fault := recover(); fault {
	case nil:
	case http.ErrAbortHandler:
		_ = pipe.CloseWithError(errAborted) // never fails (io.Pipe)
	default:
		panic(fault)
	}
}

// localAnswer is where the handler writes.
type localAnswer struct {
	header http.Header
	pipe   *io.PipeWriter

	once  sync.Once
	begun chan struct{} // closed when code and sent are there
	code  int
	sent  http.Header
}

// Header gives the header that is to be sent.
func (a *localAnswer) Header() http.Header { return a.header }

// WriteHeader begins the answer.
func (a *localAnswer) WriteHeader(code int) {
	a.once.Do(func() {
		a.code, a.sent = code, a.header.Clone()
		close(a.begun)
	})
}

// Write waits until what it is given was read.
func (a *localAnswer) Write(b []byte) (int, error) {
	a.WriteHeader(http.StatusOK)
	return a.pipe.Write(b)
}

// localBody is where the client reads.
type localBody struct {
	*io.PipeReader
	cancel context.CancelFunc
	ended  chan struct{}
}

// Close ends the handler, and waits for it.
func (b *localBody) Close() error {
	b.cancel()
	err := b.PipeReader.Close()
	<-b.ended
	return err
}
