package web

import "net/http"

// frame handles faults in the framing of requests, before parsing, logging and authentication.
func frame(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		c := connOf(r.Context())
		switch {
		case Reset(r):
			c.streamReset()
			return
		case r.ProtoMajor >= 2:
			defer func() {
				if Reset(r) {
					c.streamReset()
				}
			}()
		case ambiguous(r):
			w.Header().Set("Connection", "close")
		}
		next.ServeHTTP(w, r)
	})
}

// Reset reports whether the client has reset the HTTP/2 stream of a request without a response.
// Skipping its work is the defense against rapid reset (CVE-2023-44487). It returns false for
// HTTP/1, where a client that closes only its sending side still reads the response.
func Reset(r *http.Request) bool {
	return r.ProtoMajor >= 2 && r.Context().Err() != nil
}

// ambiguous reports whether a request may have had both Content-Length and
// Transfer-Encoding. Another program could determine a different end of the request, so
// its connection must close after the response (RFC 9112, section 6.1). net/http removes
// the header that it does not use, so every chunked body and every HTTP/1.0 body is
// ambiguous; clients that send chunks need a new connection per request.
func ambiguous(r *http.Request) bool {
	return len(r.TransferEncoding) > 0 || !r.ProtoAtLeast(1, 1) && r.ContentLength != 0
}
