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

// Client calls the API over HTTP or in process.
type Client struct {
	URL   string // URL before /admin/v1, without a trailing slash
	Token string // "" with a client certificate or in process
	HTTP  *http.Client
}

// Request is a request to the API.
type Request struct {
	Method string
	Path   string     // below /admin/v1; see Path
	Query  url.Values // may be nil
	JSON   any        // body to encode as JSON
	CSV    io.Reader  // CSV body, instead of JSON
}

// Path joins path segments and escapes each.
func Path(parts ...string) string {
	var b strings.Builder
	for _, p := range parts {
		b.WriteString("/" + url.PathEscape(p))
	}
	return b.String()
}

// Do sends a request and decodes the response into out. out may be nil, or an [io.Writer]
// that receives the body unchanged. A refusal is a [*web.Problem].
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
		return fmt.Errorf("read the response of the server: %w", err)
	}
	return nil
}

// Unreachable is the error of a request without a response. It wraps the cause, which
// names the URL.
type Unreachable struct{ Err error }

// Error returns the cause.
func (e *Unreachable) Error() string { return "no response from the server: " + e.Err.Error() }

// Unwrap returns the cause.
func (e *Unreachable) Unwrap() error { return e.Err }

func (c *Client) request(ctx context.Context, r Request) (*http.Request, error) {
	body, kind := r.CSV, csvType
	if body != nil {
		body = io.NopCloser(body) // the caller closes r.CSV
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

// readProblem reads the response to a failed request. A response in another form is not
// from the admin API.
func readProblem(resp *http.Response) error {
	p := &web.Problem{Status: resp.StatusCode}
	kind := web.MediaType(resp.Header.Get("Content-Type"))
	err := json.NewDecoder(io.LimitReader(resp.Body, maxBody)).Decode(p)
	if kind != web.ProblemType || err != nil {
		return fmt.Errorf("the server responded %s, but not as the admin API; check the URL", resp.Status)
	}
	return p
}
