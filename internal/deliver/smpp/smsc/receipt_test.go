package smsc_test

import (
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"countersign/internal/await"
	"countersign/internal/deliver/smpp/pdu"
	"countersign/internal/deliver/smpp/smsc"
)

// appendixB is the text form of a receipt.
var appendixB = regexp.MustCompile(`^id:(\S+) sub:001 dlvrd:(00[01]) submit date:(\d{10}) done date:(\d{10}) stat:([A-Z]{7}) err:(\d{3}) Text:(.{0,20})$`)

func fields(t *testing.T, m *pdu.DeliverSM) []string {
	t.Helper()
	f := appendixB.FindStringSubmatch(string(m.ShortMessage))
	if f == nil {
		t.Fatalf("receipt %q", m.ShortMessage)
	}
	return f[1:]
}

func stat(t *testing.T, m *pdu.DeliverSM) string { return fields(t, m)[4] }

func TestReceipt(t *testing.T) {
	t.Parallel()
	in(t, func(t *testing.T) {
		l := faulty(t, "receipt-delay=90s")
		c := l.bind(pdu.CommandBindTransceiver)
		id := c.submit(sms("Acme code: 4821. It is valid for 5 minutes.", pdu.ReceiptAlways))
		began := time.Now()
		m := c.receipt(pdu.StatusOK)
		if took := time.Since(began); took != 90*time.Second {
			t.Errorf("arrived after %v", took)
		}
		want := []string{id, "001", "0001010000", "0001010001", "DELIVRD", "000", "Acme code: 4821. It "}
		if got := fields(t, m); !slices.Equal(got, want) {
			t.Errorf("text\n%q want\n%q", got, want)
		}
		sent := sms("", 0)
		if m.ESMClass != pdu.ESMReceipt || m.Source != sent.Destination || m.Destination != sent.Source {
			t.Errorf("receipt %+v", m.Message)
		}
		if got, _ := m.TLVs.Text(pdu.TagReceiptedMessageID); got != id {
			t.Errorf("receipted_message_id %q, want %q", got, id)
		}
		if got, _ := m.TLVs.Uint(pdu.TagMessageState); pdu.MessageState(got) != pdu.StateDelivered {
			t.Errorf("message_state %d", got)
		}
		synctest.Wait()
		if got := l.Counters(); got.Receipts != 1 || got.ReceiptsTaken != 1 {
			t.Errorf("counts %+v", got)
		}
	})
}

func TestReceiptForms(t *testing.T) {
	t.Parallel()
	for _, form := range []smsc.Receipts{smsc.ReceiptsBoth, smsc.ReceiptsText, smsc.ReceiptsTLV, smsc.ReceiptsNone} {
		t.Run(form.String(), func(t *testing.T) {
			t.Parallel()
			in(t, func(t *testing.T) {
				c := newLab(t, smsc.Config{Receipts: form}).bind(pdu.CommandBindTransceiver)
				c.submit(sms("hello", pdu.ReceiptAlways))
				if form != smsc.ReceiptsNone {
					m := c.receipt(pdu.StatusOK)
					text, tlv := form != smsc.ReceiptsTLV, form != smsc.ReceiptsText
					if got := len(m.ShortMessage) > 0; got != text {
						t.Errorf("text %q", m.ShortMessage)
					}
					if got := len(m.TLVs) == 3; got != tlv {
						t.Errorf("TLVs %v", m.TLVs)
					}
				}
				c.request(&pdu.EnquireLink{})
			})
		})
	}
}

// TestIDs: the forms of the ids in responses and receipts.
func TestIDs(t *testing.T) {
	t.Parallel()
	const dec, hex, uuid = `\d{10}`, `[0-9a-f]{8}`, `[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}`
	tests := map[smsc.IDs]struct {
		response, receipt string
		bases             [2]int // of the number in response and receipt
	}{
		smsc.IDsDecimal:        {dec, dec, [2]int{10, 10}},
		smsc.IDsHex:            {hex, hex, [2]int{16, 16}},
		smsc.IDsHexThenDecimal: {hex, dec, [2]int{16, 10}},
		smsc.IDsDecimalThenHex: {dec, hex, [2]int{10, 16}},
		smsc.IDsUUID:           {uuid, uuid, [2]int{}},
	}
	for ids, want := range tests {
		t.Run(ids.String(), func(t *testing.T) {
			t.Parallel()
			in(t, func(t *testing.T) {
				c := newLab(t, smsc.Config{IDs: ids}).bind(pdu.CommandBindTransceiver)
				seen := map[string]bool{}
				for range 3 {
					id := c.submit(sms("hello", pdu.ReceiptAlways))
					m := c.receipt(pdu.StatusOK)
					inText := fields(t, m)[0]
					if !regexp.MustCompile("^"+want.response+"$").MatchString(id) || !regexp.MustCompile("^"+want.receipt+"$").MatchString(inText) {
						t.Errorf("response %q, receipt %q", id, inText)
					}
					if want.bases[0] == 0 {
						if id != inText {
							t.Errorf("response %q, receipt %q", id, inText)
						}
					} else {
						a, errA := strconv.ParseUint(id, want.bases[0], 64)
						b, errB := strconv.ParseUint(inText, want.bases[1], 64)
						if a != b || errA != nil || errB != nil {
							t.Errorf("response %q, receipt %q: %v, %v", id, inText, errA, errB)
						}
					}
					if got, _ := m.TLVs.Text(pdu.TagReceiptedMessageID); got != id {
						t.Errorf("TLV %q, want the id of the response, %q", got, id)
					}
					q, _ := c.request(&pdu.QuerySM{MessageID: id, Source: pdu.Address{Addr: sender}}).Body.(*pdu.QuerySMResp)
					if q.MessageID != id || q.MessageState != pdu.StateDelivered || q.FinalDate == "" {
						t.Errorf("query_sm returned %+v", q)
					}
					seen[id] = true
				}
				if len(seen) != 3 {
					t.Errorf("ids %v", seen)
				}
			})
		})
	}
	if _, err := smsc.ParseIDs("octal"); err == nil || !strings.Contains(err.Error(), "uuid") {
		t.Errorf("error %v", err)
	}
	if _, err := smsc.ParseReceipts("loud"); err == nil || !strings.Contains(err.Error(), "tlv") {
		t.Errorf("error %v", err)
	}
}

// TestOutcomes: final states of messages, and receipts for them.
func TestOutcomes(t *testing.T) {
	t.Parallel()
	never, always, onFailure := pdu.ReceiptNever, pdu.ReceiptAlways, pdu.ReceiptOnFailure
	tests := []struct {
		fault, validity string
		registered      uint8
		want            string // "" for no receipt
		code            string
	}{
		{"", "", never, "", ""},
		{"", "", always, "DELIVRD", "000"},
		{"", "", onFailure, "", ""},
		{"undeliverable=4477", "", never, "", ""},
		{"undeliverable=4477", "", onFailure, "UNDELIV", "001"},
		{"undeliverable=4477", "", always, "UNDELIV", "001"},
		{"undeliverable=+447700900123", "", always, "UNDELIV", "001"},
		{"undeliverable=44780", "", always, "DELIVRD", "000"},
		{"undeliverable=1x", "", always, "UNDELIV", "001"},
		{"expired=100%", "", always, "EXPIRED", "027"},
		{"expired=0%", "", always, "DELIVRD", "000"},
		{"rejected=4477,undeliverable=4477", "", always, "REJECTD", "013"},
		{"receipt-lose", "", always, "", ""},
		{"receipt-delay=10m", "000000000500000R", always, "EXPIRED", "027"},
		{"receipt-delay=4m59s", "000000000500000R", always, "DELIVRD", "000"},
		{"receipt-delay=10m", "000101000500000+", always, "EXPIRED", "027"}, // the bubble begins in 2000
		{"receipt-delay=10m", "000101010500004+", always, "EXPIRED", "027"},
		{"receipt-delay=10m", "991231230500004-", always, "DELIVRD", "000"}, // 2099
		{"receipt-delay=10m", "000101001100000+", always, "DELIVRD", "000"},
	}
	for _, tt := range tests {
		t.Run(fmt.Sprint(tt.fault, tt.validity, tt.registered), func(t *testing.T) {
			t.Parallel()
			in(t, func(t *testing.T) {
				var faults smsc.Faults
				if tt.fault != "" {
					faults = smsc.MustFaults(tt.fault)
				}
				c := newLab(t, smsc.Config{Faults: faults}).bind(pdu.CommandBindTransceiver)
				m := sms("hello", tt.registered)
				m.ValidityPeriod = tt.validity
				c.submit(m)
				if tt.want != "" {
					if f := fields(t, c.receipt(pdu.StatusOK)); f[4] != tt.want || f[5] != tt.code || (f[1] == "001") != (f[4] == "DELIVRD") {
						t.Errorf("receipt %q, want %s %s", f, tt.want, tt.code)
					}
				}
				await.Pass(time.Hour)
				c.request(&pdu.EnquireLink{}) // its response is next: no more receipts
			})
		})
	}
}

func TestReceiptFaults(t *testing.T) {
	t.Parallel()
	t.Run("receipt-first", func(t *testing.T) {
		t.Parallel()
		in(t, func(t *testing.T) {
			c := faulty(t, "receipt-first=1x").bind(pdu.CommandBindTransceiver)
			n := c.send(sms("hello", pdu.ReceiptAlways))
			r := c.receipt(pdu.StatusOK)
			p := c.read()
			if p.Sequence != n || messageID(t, p) != fields(t, r)[0] {
				t.Errorf("response %+v after receipt %q", p, r.ShortMessage)
			}
		})
	})
	t.Run("receipt-duplicate", func(t *testing.T) {
		t.Parallel()
		in(t, func(t *testing.T) {
			c := faulty(t, "receipt-duplicate=1x").bind(pdu.CommandBindTransceiver)
			id := c.submit(sms("hello", pdu.ReceiptAlways))
			for range 2 {
				if got := fields(t, c.receipt(pdu.StatusOK))[0]; got != id {
					t.Errorf("receipt for %q, want %q", got, id)
				}
			}
			c.submit(sms("hello", pdu.ReceiptAlways))
			c.receipt(pdu.StatusOK)
			c.request(&pdu.EnquireLink{})
		})
	})
	t.Run("receipt-shuffle", func(t *testing.T) {
		t.Parallel()
		in(t, func(t *testing.T) {
			c := faulty(t, "receipt-shuffle").bind(pdu.CommandBindTransceiver)
			var sent, got []string
			for range 20 {
				sent = append(sent, c.submit(sms("hello", pdu.ReceiptAlways)))
			}
			for range 20 {
				got = append(got, fields(t, c.receipt(pdu.StatusOK))[0])
			}
			if slices.Equal(sent, got) {
				t.Error("the receipts are in order")
			}
			if slices.Sort(got); !slices.Equal(sent, got) {
				t.Errorf("receipts for %v, want %v", got, sent)
			}
		})
	})
}

// TestReceiptWaits: a receipt waits for a session that can take it.
func TestReceiptWaits(t *testing.T) {
	t.Parallel()
	in(t, func(t *testing.T) {
		l := faulty(t)
		tx := l.bind(pdu.CommandBindTransmitter)
		first := tx.submit(sms("1", pdu.ReceiptAlways))
		second := tx.submit(sms("2", pdu.ReceiptAlways))
		tx.request(&pdu.Unbind{})
		tx.ended()

		stranger := l.connect()
		stranger.bind(pdu.CommandBindReceiver, "other", "")
		await.Pass(time.Hour)
		stranger.request(&pdu.EnquireLink{}) // gets no receipts of other accounts

		rx := l.bind(pdu.CommandBindReceiver)
		for _, want := range []string{first, second} {
			if got := fields(t, rx.receipt(pdu.StatusOK))[0]; got != want {
				t.Errorf("receipt for %q, want %q", got, want)
			}
		}
		rx.request(&pdu.EnquireLink{})
	})
}

// TestReceiptAgain: a refused receipt is resent, unless the refusal is permanent.
func TestReceiptAgain(t *testing.T) {
	t.Parallel()
	t.Run("refused", func(t *testing.T) {
		t.Parallel()
		in(t, func(t *testing.T) {
			l := newLab(t, smsc.Config{RetryReceiptAfter: time.Minute})
			c := l.bind(pdu.CommandBindTransceiver)
			id := c.submit(sms("hello", pdu.ReceiptAlways))
			c.receipt(pdu.StatusTemporaryAppError)
			began := time.Now()
			if got := fields(t, c.receipt(pdu.StatusOK))[0]; got != id || time.Since(began) != time.Minute {
				t.Errorf("receipt for %q, want %q, after %v", got, id, time.Since(began))
			}
			c.submit(sms("hello", pdu.ReceiptAlways))
			c.receipt(pdu.StatusPermanentAppError)
			await.Pass(time.Hour)
			c.request(&pdu.EnquireLink{})
			if got := l.Counters(); got.Receipts != 3 || got.ReceiptsTaken != 1 || got.ReceiptsRefused != 2 || got.ReceiptsDropped != 1 {
				t.Errorf("counts %+v", got)
			}
		})
	})
	t.Run("dropped", func(t *testing.T) {
		t.Parallel()
		in(t, func(t *testing.T) {
			l := faulty(t)
			c := l.bind(pdu.CommandBindTransceiver)
			var want []string
			for range 3 {
				want = append(want, c.submit(sms("hello", pdu.ReceiptAlways)))
				c.read() // the receipt, left unanswered
			}
			l.DropAll()
			c.ended()
			c = l.bind(pdu.CommandBindTransceiver)
			for _, id := range want {
				if got := fields(t, c.receipt(pdu.StatusOK))[0]; got != id {
					t.Errorf("receipt for %q, want %q", got, id)
				}
			}
		})
	})
}

func TestDeliver(t *testing.T) {
	t.Parallel()
	in(t, func(t *testing.T) {
		l := faulty(t)
		m := pdu.Message{Source: pdu.Address{Addr: phone}, Destination: pdu.Address{Addr: "12345"}, ShortMessage: []byte("STOP")}
		if err := l.Deliver("", m); !errors.Is(err, smsc.ErrNoReceiver) {
			t.Errorf("without a session: %v", err)
		}
		l.bind(pdu.CommandBindTransmitter)
		if err := l.Deliver("esme", m); !errors.Is(err, smsc.ErrNoReceiver) {
			t.Errorf("with a transmitter: %v", err)
		}
		rx := l.bind(pdu.CommandBindReceiver)
		if err := l.Deliver("other", m); !errors.Is(err, smsc.ErrNoReceiver) {
			t.Errorf("to another system_id: %v", err)
		}
		if err := l.Deliver("esme", pdu.Message{ServiceType: "too long"}); err == nil {
			t.Error("a message that cannot be encoded: no error")
		}
		for _, id := range []string{"", "esme"} {
			if err := l.Deliver(id, m); err != nil {
				t.Error(err)
			}
			p := rx.read()
			if got, ok := p.Body.(*pdu.DeliverSM); !ok || string(got.ShortMessage) != "STOP" || got.IsReceipt() {
				t.Errorf("got %+v", p.Body)
			}
		}
	})
}
