package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"strings"
	"sync"
	"time"

	"countersign/internal/deliver/smpp/pdu"
	"countersign/internal/deliver/smpp/smsc"
)

// Roles of this program when it starts itself, so that targets of the load and of the server run
// in separate processes.
const (
	roleVar   = "COUNTERSIGN_SPEED_ROLE"
	recordVar = "COUNTERSIGN_SPEED_RECORD" // path of the record, for roleSMSC

	roleHTTP = "http"
	roleSMSC = "smsc"
)

// play runs a role until standard input ends.
func play(role string) error {
	switch role {
	case roleHTTP:
		return beHTTP()
	case roleSMSC:
		return beSMSC(os.Getenv(recordVar))
	}
	return fmt.Errorf("%s: unknown role %q", roleVar, role)
}

// beHTTP is a net/http server that reads a form and answers with a short JSON text: the limit of a
// Go server without any work.
func beHTTP() error {
	l, err := (&net.ListenConfig{}).Listen(context.Background(), "tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	s := &http.Server{ReadHeaderTimeout: answerTimeout, Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if _, err := io.Copy(io.Discard, r.Body); err != nil {
			w.WriteHeader(http.StatusBadRequest)
			return
		}
		w.Header().Set("Content-Type", "application/json")
		_, _ = io.WriteString(w, `{"request_id":"00000000000000000000000000000000","status":"0"}`)
	})}
	go func() {
		_, _ = io.Copy(io.Discard, os.Stdin)
		_ = s.Close()
	}()
	fmt.Println(l.Addr())
	if err := s.Serve(l); !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return nil
}

// beSMSC is an SMSC without faults that sends receipts. At its end it writes the time of each
// message in the format of the sink.
func beSMSC(record string) error {
	type message struct {
		at     int64
		number string
	}
	var (
		mu   sync.Mutex
		seen []message
	)
	s := smsc.New(smsc.Config{OnPDU: func(_ *smsc.Session, p pdu.PDU) {
		body, ok := p.Body.(*pdu.SubmitSM)
		if !ok {
			return
		}
		at := time.Now().UnixNano()
		mu.Lock()
		defer mu.Unlock()
		seen = append(seen, message{at, strings.TrimPrefix(body.Destination.Addr, "+")})
	}})
	if err := s.Listen("127.0.0.1:0"); err != nil {
		return errors.Join(err, s.Close())
	}
	fmt.Println(s.Addr())
	_, err := io.Copy(io.Discard, os.Stdin)
	err = errors.Join(err, s.Close())
	f, createErr := os.OpenFile(record, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if createErr != nil {
		return errors.Join(err, createErr)
	}
	w := bufio.NewWriter(f)
	for _, m := range seen {
		fmt.Fprintf(w, "%d %s\n", m.at, m.number)
	}
	return errors.Join(err, w.Flush(), f.Close())
}

// helper is a process of this program in a role.
type helper struct {
	cmd     *exec.Cmd
	stdin   io.Closer
	address string // listening address
}

func startHelper(ctx context.Context, role string, env ...string) (*helper, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	h := &helper{cmd: exec.CommandContext(ctx, self)}
	h.cmd.Env = append(append(os.Environ(), roleVar+"="+role), env...)
	h.cmd.Stderr = os.Stderr
	if h.stdin, err = h.cmd.StdinPipe(); err != nil {
		return nil, err
	}
	stdout, err := h.cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := h.cmd.Start(); err != nil {
		return nil, err
	}
	line, err := bufio.NewReader(stdout).ReadString('\n')
	if err != nil {
		return nil, fmt.Errorf("%s printed no address: %w", role, errors.Join(err, h.stop()))
	}
	h.address = strings.TrimSpace(line)
	return h, nil
}

func (h *helper) stop() error { return errors.Join(h.stdin.Close(), h.cmd.Wait()) }
