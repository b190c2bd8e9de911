// Package sink is a carrier that accepts everything at once and sends nothing, so
// that a load test measures the server and not a carrier.
//
// It may write down when a message to which number came, for who measures. It must
// not keep what messages say: there are PINs in them.
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

// Config describes a [Carrier].
type Config struct {
	Name   string           // of the carrier, in the configuration and on events
	Record string           // path of a file that gets a line for each message; "" for none
	Now    func() time.Time // time.Now if nil
}

// Carrier is the carrier. Its methods may be called from many goroutines.
type Carrier struct {
	config Config

	mu     sync.Mutex
	file   *os.File      // nil for no record, and once it was closed
	record *bufio.Writer // to file
	line   []byte        // reused
}

var _ deliver.Carrier = (*Carrier)(nil)

// New makes a carrier, which must be closed. A record that is there is added to.
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

// Send accepts m. In the record it is a line "TIME NUMBER": nanoseconds since 1970,
// and E.164 digits. When that cannot be written, the error wraps
// [deliver.ErrNotSent].
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

// Close writes what is left of the record.
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
