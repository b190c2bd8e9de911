package web

import (
	"bytes"
	"strings"
)

// MediaType returns the media type of a Content-Type header in small letters, or "" for a
// header without one. It ignores the parameters, which clients often write wrongly, as in
// "application/json; utf-8", "application/json; charset=" and "application/json,charset=utf-8".
// A charset has no effect either way: bodies are UTF-8.
func MediaType(contentType string) string {
	contentType = strings.TrimLeft(contentType, " \t")
	if end := strings.IndexAny(contentType, ";, \t"); end >= 0 {
		contentType = contentType[:end]
	}
	return strings.ToLower(contentType)
}

// TrimBOM returns body without the UTF-8 byte order mark that it may begin with.
func TrimBOM(body []byte) []byte { return bytes.TrimPrefix(body, []byte("\ufeff")) }
