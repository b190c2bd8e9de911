package adminapi

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"

	"countersign/internal/web"
)

// Client calls the API, in another process or in its own.
type Client struct {
	URL   string // before /admin/v1, without a slash at the end
	Token string // "" when a certificate is shown, or where nobody asks
	HTTP  *http.Client
}

// Request is one call.
type Request struct {
	Method string
	Path   string     // below /admin/v1; see Path
	Query  url.Values // may be nil
	JSON   any        // the body, as JSON
	CSV    io.Reader  // or as CSV
}

// Path puts a path together, in which each part may hold anything.
func Path(parts ...string) string {
	var b strings.Builder
	for _, p := range parts {
		b.WriteString("/" + url.PathEscape(p))
	}
	return b.String()
}

// Do makes a call and reads the answer into out, which may be nil, or an [io.Writer]
// that gets it as it is. A refusal is a [*web.Problem].
func (c *Client) Do(ctx context.Context, r Request, out any) error {
	req, err := c.request(ctx, r)
	if err != nil {
		return err
	}
	resp, err := c.HTTP.Do(req)
	if err != nil {
		return &Unreachable{err}
	}
	defer resp.Body.Close()
	if resp.StatusCode < http.StatusOK || resp.StatusCode >= http.StatusMultipleChoices {
		return readProblem(resp)
	}
	if w, ok := out.(io.Writer); ok {
		_, err = io.Copy(w, resp.Body)
	} else if out != nil {
		err = json.NewDecoder(resp.Body).Decode(out)
	}
	if err != nil {
		return fmt.Errorf("read the answer of the server: %w", err)
	}
	return nil
}

// Unreachable is the error of a call that got no answer. It wraps the cause, which names the URL.
type Unreachable struct{ Err error }

// Error returns the cause.
func (e *Unreachable) Error() string { return "ask the server: " + e.Err.Error() }

// Unwrap returns the cause.
func (e *Unreachable) Unwrap() error { return e.Err }

func (c *Client) request(ctx context.Context, r Request) (*http.Request, error) {
	body, kind := r.CSV, csvType
	if body != nil {
		body = io.NopCloser(body) // it is the caller's to close
	}
	if r.JSON != nil {
		text, err := json.Marshal(r.JSON)
		if err != nil {
			return nil, err
		}
		body, kind = bytes.NewReader(text), "application/json"
	}
	target := c.URL + Base + r.Path
	if len(r.Query) > 0 {
		target += "?" + r.Query.Encode()
	}
	req, err := http.NewRequestWithContext(ctx, r.Method, target, body)
	if err != nil {
		return nil, err
	}
	if body != nil {
		req.Header.Set("Content-Type", kind)
	}
	if c.Token != "" {
		req.Header.Set("Authorization", "Bearer "+c.Token)
	}
	return req, nil
}

// readProblem reads the answer to a call that failed. One that is not the API's comes
// from something else at that address.
func readProblem(resp *http.Response) error {
	p := &web.Problem{Status: resp.StatusCode}
	kind := web.MediaType(resp.Header.Get("Content-Type"))
	err := json.NewDecoder(io.LimitReader(resp.Body, maxBody)).Decode(p)
	if kind != web.ProblemType || err != nil {
		return fmt.Errorf("the server answered %s, not as the admin API does", resp.Status)
	}
	return p
}
