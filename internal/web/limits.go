package web

import (
	"log/slog"
	"net/http"
	"time"
)

// Limits limit the resources of one connection, and of all connections of a listener. API
// requests finish within milliseconds, so a slower connection is not an API client. 0
// means no limit, except for HeaderBytes.
type Limits struct {
	HeaderTimeout time.Duration // from the first byte of a request, or of TLS, to the end of its header
	ReadTimeout   time.Duration // to the end of the body
	WriteTimeout  time.Duration // from the end of the header to the end of the response
	IdleTimeout   time.Duration // between two requests
	HeaderBytes   int           // size of request line and header; 0 for 1 MiB

	// UnauthenticatedIdle replaces IdleTimeout on a connection without valid credentials.
	// It also limits the time from the accept to the end of the first header; bytes of a
	// TLS handshake or a header do not extend it. HTTP/2 has it once for the handshake
	// and once for the first request.
	UnauthenticatedIdle time.Duration

	Connections           int // open at the same time
	ConnectionsPerAddress int // open at the same time from one address, see [Proxies.Source]
}

const (
	// maxStreams is the number of HTTP/2 requests that a connection may have open.
	maxStreams = 32
	// streamBuffer limits the bytes of bodies that HTTP/2 buffers for a connection before
	// a handler reads them. It exceeds the largest body of the API.
	streamBuffer = 256 << 10
)

// NewServer returns a server with limits on time and size. A page with live updates
// removes its own time limits (http.ResponseController).
func NewServer(h http.Handler, log *slog.Logger, limits Limits) *http.Server {
	return &http.Server{
		Handler:           frame(h),
		ReadHeaderTimeout: limits.HeaderTimeout,
		ReadTimeout:       limits.ReadTimeout,
		WriteTimeout:      limits.WriteTimeout,
		IdleTimeout:       limits.IdleTimeout,
		MaxHeaderBytes:    limits.HeaderBytes,
		HTTP2: &http.HTTP2Config{
			MaxConcurrentStreams:          maxStreams,
			MaxReceiveBufferPerConnection: streamBuffer,
			MaxReceiveBufferPerStream:     streamBuffer,
		},
		ConnState:   changeState,
		ConnContext: withConn,
		ErrorLog:    slog.NewLogLogger(log.Handler(), slog.LevelDebug),
	}
}
