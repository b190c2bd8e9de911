package web

import (
	"context"
	"errors"
	"net/http"
	"slices"
	"strings"
	"time"
)

// Endpoint is one operation of an API: a row in the API's table.
type Endpoint struct {
	Methods   []string      // accepted methods; GET alone includes HEAD
	Path      string        // pattern of [http.ServeMux] without a method
	BodyBytes int64         // maximum size of a request's body
	Timeout   time.Duration // maximum time of Admit and Handle together; 0 means unlimited
	Detached  bool          // complete a request even after its client has disconnected
	// Open creates the exchange for a request. It also returns one with an error.
	Open func(http.ResponseWriter, *http.Request) (Exchange, error)
}

// Exchange is one request to an endpoint and its response. Each API has its own exchange,
// with its own credentials, formats and errors. Either Answer or Refuse is called, as the
// last method.
type Exchange interface {
	// Admit reads the parameters, authenticates the request and applies the rate limit of
	// its account, in the documented order of the API.
	Admit(context.Context) error
	// Handle runs the operation and returns its answer.
	Handle(context.Context) (any, error)
	// Answer encodes and writes the result of Handle.
	Answer(any)
	// Refuse writes the response to a failed request. err is the error of Open, Admit or
	// Handle, [ErrMethod] or [ErrDraining]. It wraps an [http.MaxBytesError] if the body
	// was too large.
	Refuse(err error)
}

var (
	// ErrMethod refuses a method that the path does not support. The Allow header is set.
	ErrMethod = errors.New("method not allowed")
	// ErrDraining refuses a request while the server shuts down.
	ErrDraining = errors.New("server is draining")

	// errReset ends a request without a response, after a reset of its HTTP/2 stream.
	errReset = errors.New("stream was reset")
)

// Mount registers the endpoints of an API. They refuse requests once drain has begun; nil
// means never. The Allow header of a path has the order of its rows.
func Mount(mux *http.ServeMux, drain *Drain, endpoints []Endpoint) {
	resources := map[string]*resource{}
	for _, e := range endpoints {
		s := resources[e.Path]
		if s == nil {
			s = &resource{drain: drain}
			resources[e.Path] = s
			mux.Handle(e.Path, s)
		}
		s.endpoints = append(s.endpoints, e)
	}
}

// resource contains the endpoints of one path.
type resource struct {
	drain     *Drain
	endpoints []Endpoint
}

// ServeHTTP passes a request through its exchange.
func (s *resource) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	e, allowed := s.endpoint(r.Method)
	x, err := e.Open(w, r)
	var answer any
	switch {
	case err != nil:
	case !allowed:
		w.Header().Set("Allow", s.allow())
		err = ErrMethod
	case s.drain != nil && s.drain.Draining():
		err = ErrDraining
	default:
		answer, err = e.run(x, w, r)
	}
	switch {
	case errors.Is(err, errReset):
	case err != nil:
		x.Refuse(err)
	default:
		x.Answer(answer)
	}
}

// endpoint returns the endpoint for a method; without one, the first of the path and false.
func (s *resource) endpoint(method string) (Endpoint, bool) {
	for _, e := range s.endpoints {
		if slices.Contains(e.Methods, method) || method == http.MethodHead && slices.Equal(e.Methods, []string{http.MethodGet}) {
			return e, true
		}
	}
	return s.endpoints[0], false
}

// allow returns the value of the Allow header.
func (s *resource) allow() string {
	var methods []string
	for _, e := range s.endpoints {
		methods = append(methods, e.Methods...)
	}
	return strings.Join(methods, ", ")
}

func (e Endpoint) run(x Exchange, w http.ResponseWriter, r *http.Request) (any, error) {
	ctx := r.Context()
	if e.Detached {
		ctx = context.WithoutCancel(ctx)
	}
	if e.Timeout > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, e.Timeout)
		defer cancel()
	}
	r.Body = http.MaxBytesReader(w, r.Body, e.BodyBytes)
	if err := x.Admit(ctx); err != nil {
		return nil, err
	}
	return x.Handle(ctx)
}

// Authenticate calls find, which checks the credentials of a request, and records its
// success for the connection. On HTTP/2 it waits for the turn of r among the requests of
// the connection. The context of find then ends with the stream, so that reset streams do
// not occupy the database.
func Authenticate(ctx context.Context, r *http.Request, find func(context.Context) error) error {
	done, ok := turn(r)
	defer done()
	if !ok {
		return errReset
	}
	if r.ProtoAtLeast(2, 0) {
		ctx = r.Context()
	}
	err := find(ctx)
	switch {
	case err == nil:
		Authenticated(r.Context())
	case Reset(r):
		err = errReset
	}
	return err
}
