package main

import (
	"bytes"
	"context"
	"io"
	"strings"
	"testing"
	"time"

	"countersign/internal/deliver/smpp/smsc"
)

// until keeps text and calls found once the text contains want.
type until struct {
	bytes.Buffer
	want  string
	found func()
}

func (u *until) Write(b []byte) (int, error) {
	n, err := u.Buffer.Write(b)
	if strings.Contains(u.String(), u.want) {
		u.found()
	}
	return n, err
}

// TestWaitReceiptWarns checks that stderr names the setting for carriers that send
// receipts in plain messages.
func TestWaitReceiptWarns(t *testing.T) {
	t.Parallel()
	srv := smsc.Start(t, smsc.Config{Faults: smsc.MustFaults("receipt-as-message"), MaxMessages: 10})
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	stderr := &until{want: "receipts_in_messages: true", found: cancel}
	code := run(ctx, []string{
		"sms", "send", "--smpp", srv.Addr(), "--to", "447700900001", "--text", "hello", "--wait-receipt", "--timeout", "10s",
	}, nil, io.Discard, stderr)
	if s := stderr.String(); code == 0 || !strings.Contains(s, stderr.want) || strings.Contains(s, "447700900001") {
		t.Errorf("code %d, stderr %q", code, s)
	}
}
