// Package sink is a carrier that accepts every message immediately and sends none, so
// that a load test measures only the server.
//
// It can record the time and number of each message. It must not record texts, which
// contain PINs.
package sink

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"os"
	"strconv"
	"sync"
	"time"

	"countersign/internal/deliver"
)

// Config is the configuration of a [Carrier].
type Config struct {
	Name   string           // carrier name
	Record string           // path of the record, with a line for each message; "" disables it
	Now    func() time.Time // time.Now if nil
}

// Carrier accepts and discards messages. It is safe for concurrent use.
type Carrier struct {
	config Config

	mu     sync.Mutex
	file   *os.File      // nil without a record and after Close
	record *bufio.Writer // writes to file
	line   []byte        // buffer
}

var _ deliver.Carrier = (*Carrier)(nil)

// New returns a carrier, which the caller must close. It appends to an existing record.
func New(c Config) (*Carrier, error) {
	if c.Now == nil {
		c.Now = time.Now
	}
	s := &Carrier{config: c}
	if c.Record == "" {
		return s, nil
	}
	var err error
	if s.file, err = os.OpenFile(c.Record, os.O_WRONLY|os.O_CREATE|os.O_APPEND, 0o600); err != nil {
		return nil, fmt.Errorf("record: %w", err)
	}
	s.record = bufio.NewWriterSize(s.file, 64<<10)
	return s, nil
}

// Send accepts m. It appends a line "TIME NUMBER" to the record: nanoseconds since 1970
// and E.164 digits. If that fails, the error wraps [deliver.ErrNotSent].
func (c *Carrier) Send(_ context.Context, m deliver.Message) (deliver.Submission, error) {
	if c.config.Record != "" {
		if err := c.note(m.To.Given); err != nil {
			return deliver.Submission{}, fmt.Errorf("%s: %w: %w", c.config.Name, deliver.ErrNotSent, err)
		}
	}
	return deliver.Submission{Carrier: c.config.Name}, nil
}

func (c *Carrier) note(number string) error {
	at := c.config.Now().UnixNano()
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.file == nil {
		return os.ErrClosed
	}
	c.line = strconv.AppendInt(c.line[:0], at, 10)
	c.line = append(c.line, ' ')
	c.line = append(c.line, number...)
	c.line = append(c.line, '\n')
	_, err := c.record.Write(c.line)
	return err
}

// Close flushes and closes the record.
func (c *Carrier) Close() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.file == nil {
		return nil
	}
	err := errors.Join(c.record.Flush(), c.file.Close())
	c.file = nil
	return err
}
