package httpsms

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math"
	"net/http"
	"time"

	"countersign/internal/deliver"
)

const (
	defaultTimeout     = 10 * time.Second
	maxTimeout         = 2 * time.Minute
	defaultConcurrency = 100
	maxConcurrency     = 10_000
	maxRate            = 100_000
)

// Config is the configuration of a [Gateway]. URL, Headers and Body may have the
// placeholders of package placeholder, such as {{.To}} and {{.Text}}. Values are escaped
// for their position; in the Body, the Content-Type in Headers selects the escaping.
type Config struct {
	Name string // carrier name

	URL           string
	Method        string   // GET, POST or PUT; "" is POST
	Headers       []string // "Name: value"
	BasicUser     string   // HTTP basic authentication; unused if both are empty
	BasicPassword string
	Body          string

	// A message is accepted if all conditions of Success hold, and not sent if all
	// conditions of Temporary hold. Success defaults to "http 200-299". 429 and 503 mean
	// not sent unless Success holds.
	Success   []string
	Temporary []string

	// Ref is the path of the message id in a JSON answer. If it is "", callbacks identify
	// the message by {{.EventID}}, which the request must contain. The same applies if
	// Receipts.Ref is "query.NAME" and the request contains NAME={{.EventID}}.
	Ref      string
	Receipts ReceiptConfig

	Timeout     time.Duration // request timeout; 0 means 10 s
	Concurrency int           // maximum concurrent requests; 0 means 100
	Rate        float64       // messages per second; 0 for no limit

	Reports   deliver.Reports // Answer is required, and Receipt if receipts are enabled
	Log       *slog.Logger    // nil discards log lines
	Transport *http.Transport // nil for a new transport
}

// New returns a Gateway, without connecting to it. An error names the invalid setting
// and contains no secret.
func New(c Config) (*Gateway, error) {
	g, err := newGateway(c)
	if err != nil {
		return nil, fmt.Errorf("httpsms %s: %w", c.Name, err)
	}
	return g, nil
}

func newGateway(c Config) (*Gateway, error) {
	if c.Reports.Answer == nil || c.Receipts.Secret != "" && c.Reports.Receipt == nil {
		return nil, errors.New("reports: Answer is required, and Receipt with a receipt secret")
	}
	if err := c.complete(); err != nil {
		return nil, err
	}
	g := &Gateway{
		name: c.Name, log: c.Log.With("carrier", c.Name), reports: c.Reports,
		timeout: c.Timeout, transport: c.Transport, rate: c.Rate,
		gate: gate{slots: make(chan struct{}, c.Concurrency)},
	}
	if c.Rate > 0 {
		g.gate.interval = time.Duration(float64(time.Second) / c.Rate)
	}
	var err error
	if g.request, err = parseRequest(c); err != nil {
		return nil, err
	}
	if g.success, err = parseConditions("success", c.Success); err != nil {
		return nil, err
	}
	if g.temporary, err = parseConditions("temporary", c.Temporary); err != nil {
		return nil, err
	}
	if c.Ref != "" {
		if g.ref, err = parsePath(c.Ref); err != nil {
			return nil, fmt.Errorf("ref: %w", err)
		}
	}
	if g.receipts, err = parseReceipts(c.Receipts); err != nil {
		return nil, fmt.Errorf("receipts.%w", err)
	}
	g.receipts.eventIDs = g.receipts.enabled && g.request.hasEventID(g.receipts.ref, c.Ref == "")
	g.base, g.abort = context.WithCancel(context.Background())
	return g, nil
}

// complete sets the defaults and checks the numbers.
func (c *Config) complete() error {
	if c.Method == "" {
		c.Method = http.MethodPost
	}
	if len(c.Success) == 0 {
		c.Success = []string{"http 200-299"}
	}
	if c.Timeout == 0 {
		c.Timeout = defaultTimeout
	}
	if c.Concurrency == 0 {
		c.Concurrency = defaultConcurrency
	}
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	switch {
	case c.Timeout < 0 || c.Timeout > maxTimeout:
		return fmt.Errorf("timeout: %v is not between 0 and %v", c.Timeout, maxTimeout)
	case c.Concurrency < 0 || c.Concurrency > maxConcurrency:
		return fmt.Errorf("concurrency: %d is not between 1 and %d", c.Concurrency, maxConcurrency)
	case math.IsNaN(c.Rate) || c.Rate < 0 || c.Rate > maxRate || c.Rate > 0 && c.Rate < 0.01:
		return fmt.Errorf("rate: %v is neither 0 nor between 0.01 and %d", c.Rate, maxRate)
	}
	if c.Transport == nil {
		c.Transport = newTransport(c.Concurrency)
	}
	return nil
}
