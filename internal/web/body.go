package web

import (
	"bytes"
	"strings"
)

// MediaType returns the media type of a Content-Type header in lower case; "" for an
// empty header. It ignores the parameters, which clients often write wrongly, as in
// "application/json; utf-8", "application/json; charset=" and
// "application/json,charset=utf-8". A charset has no effect: bodies are UTF-8.
func MediaType(contentType string) string {
	contentType = strings.TrimLeft(contentType, " \t")
	if end := strings.IndexAny(contentType, ";, \t"); end >= 0 {
		contentType = contentType[:end]
	}
	return strings.ToLower(contentType)
}

// TrimBOM returns body without a leading UTF-8 byte order mark.
func TrimBOM(body []byte) []byte { return bytes.TrimPrefix(body, []byte("\ufeff")) }
