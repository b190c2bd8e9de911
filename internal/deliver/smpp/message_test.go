package smpp_test

import (
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"countersign/internal/await"
	"countersign/internal/deliver"
	"countersign/internal/deliver/gsm"
	"countersign/internal/deliver/smpp"
	"countersign/internal/deliver/smpp/pdu"
	"countersign/internal/deliver/smpp/smsc"
	"countersign/internal/verify"
)

// TestText: with every form of long messages, the SMSC decodes the sent text, in as
// many parts as Segments returns.
func TestText(t *testing.T) {
	t.Parallel()
	latin := func(c *smpp.Config) { c.Alphabet = gsm.Latin1 }
	ucs2 := func(c *smpp.Config) { c.Alphabet = gsm.UCS2 }
	turkish := func(c *smpp.Config) { c.Languages = []gsm.Language{gsm.Turkish} }
	wide := func(c *smpp.Config) { c.WideReference = true }
	tests := []struct {
		name     string
		set      func(*smpp.Config)
		text     string
		alphabet string
		segments int
		header   bool // even in one part
	}{
		{"GSM", nil, "Acme code: 5856. Valid for 5 minutes.", "gsm7", 1, false},
		{"GSM, all of it", nil, "@£$¥èéùìòÇ\nØø\rÅåΔ_ΦΓΛΩΠΨΣΘΞÆæßÉ{}[]~\\|€^", "gsm7", 1, false},
		{"160 characters", nil, strings.Repeat("a", 160), "gsm7", 1, false},
		{"161 characters", nil, strings.Repeat("a", 161), "gsm7", 2, false},
		{"161 septets", nil, strings.Repeat("a", 159) + "€", "gsm7", 2, false},
		{"an escape on the edge", nil, strings.Repeat("a", 152) + "€" + strings.Repeat("b", 160), "gsm7", 3, false},
		{"UCS-2", nil, "Код: 5856", "ucs2", 1, false},
		{"70 characters", nil, strings.Repeat("я", 70), "ucs2", 1, false},
		{"71 characters", nil, strings.Repeat("я", 71), "ucs2", 2, false},
		{"a pair on the edge", nil, strings.Repeat("я", 66) + "😀" + strings.Repeat("я", 20), "ucs2", 2, false},
		{"UCS-2 by configuration", ucs2, "plain", "ucs2", 1, false},
		{"Latin-1", latin, "ça ± ¿", "latin1", 1, false},
		{"Latin-1, 140", latin, strings.Repeat("ÿ", 140), "latin1", 1, false},
		{"Latin-1, 141", latin, strings.Repeat("ÿ", 141), "latin1", 2, false},
		{"not Latin-1", latin, "€ 5", "ucs2", 1, false},
		{"Turkish, not configured", nil, "Kodunuz: 5856 şifre", "ucs2", 1, false},
		{"Turkish", turkish, "Kodunuz: 5856 şifre", "gsm7", 1, true},
		{"Turkish, not needed", turkish, "plain", "gsm7", 1, false},
		{"Turkish, long", turkish, strings.Repeat("şifre ", 40), "gsm7", 2, true},
		{"wide reference", wide, strings.Repeat("a", 153) + strings.Repeat("b", 153), "gsm7", 3, false},
	}
	for _, concat := range []smpp.Concat{smpp.ConcatUDH, smpp.ConcatSAR, smpp.ConcatPayload} {
		for _, tt := range tests {
			if tt.name == "wide reference" && concat != smpp.ConcatUDH || tt.name == "Turkish, long" && concat == smpp.ConcatSAR {
				continue // no reference; a header together with sar_*
			}
			t.Run(string(concat)+"/"+tt.name, func(t *testing.T) {
				t.Parallel()
				cfg := smpp.Config{Concat: concat}
				set := func(c *smpp.Config) {
					c.Concat = concat
					if tt.set != nil {
						tt.set(c)
					}
				}
				set(&cfg)
				if n := cfg.Segments(tt.text); n != tt.segments {
					t.Errorf("Segments is %d, want %d", n, tt.segments)
				}
				in(t, func(t *testing.T) {
					d := openIn(t, smsc.Config{}, set)
					sub, err := d.Send(t.Context(), sms(tt.text))
					if err != nil {
						t.Fatal(err)
					}
					synctest.Wait()
					parts := tt.segments
					if concat == smpp.ConcatPayload {
						parts = 1
					}
					checkParts(t, d.smsc.Messages(), sub, parts, tt.alphabet, tt.text)
					m := d.smsc.Messages()[0]
					if concat != smpp.ConcatUDH || tt.segments == 1 {
						if (m.Header != nil) != tt.header {
							t.Errorf("header % x", m.Header)
						}
					}
					if _, payload := m.Submitted.TLVs.Get(pdu.TagMessagePayload); payload != (concat == smpp.ConcatPayload && tt.segments > 1) {
						t.Errorf("message_payload %v", payload)
					}
				})
			})
		}
	}
}

func checkParts(t *testing.T, got []smsc.Message, sub deliver.Submission, parts int, alphabet, text string) {
	t.Helper()
	if len(got) != parts || len(sub.Refs) != parts || sub.Carrier != "test" {
		t.Fatalf("%d parts arrived, %+v, want %d", len(got), sub, parts)
	}
	for i, m := range got {
		if m.Alphabet != alphabet || m.Part != i+1 || m.Parts != parts || m.Ref != got[0].Ref || m.ID != sub.Refs[i] {
			t.Errorf("part %d is %+v, ref %s", i+1, m, sub.Refs[i])
		}
		if m.Submitted.RegisteredDelivery != pdu.ReceiptAlways {
			t.Errorf("registered_delivery %d", m.Submitted.RegisteredDelivery)
		}
	}
	if last := got[parts-1]; !last.Complete || last.Whole != text {
		t.Errorf("text %q, want %q", last.Whole, text)
	}
}

// TestReferences: messages to one phone have different references.
func TestReferences(t *testing.T) {
	t.Parallel()
	in(t, func(t *testing.T) {
		d := openIn(t, smsc.Config{})
		for i := range 5 {
			if _, err := d.Send(t.Context(), sms(strings.Repeat(fmt.Sprint(i), 200))); err != nil {
				t.Fatal(err)
			}
		}
		seen := map[int]bool{}
		for _, m := range d.smsc.Messages() {
			seen[m.Ref] = true
		}
		if len(seen) != 5 {
			t.Errorf("references %v", seen)
		}
	})
}

// TestAddressTypes: the sender of a message, and the types of the addresses.
func TestAddressTypes(t *testing.T) {
	t.Parallel()
	seven := uint8(7)
	rules := []smpp.SenderRule{
		{Country: "US", Asked: "Acme", Sender: "12345"},
		{Country: "US", Sender: "+18005550100"},
		{Country: "FR"},
		{Asked: "Other", Sender: "Else"},
	}
	tests := []struct {
		name, from, country string
		set                 func(*smpp.Config)
		want                pdu.Address
	}{
		{"name", "Acme", "GB", nil, pdu.Address{TON: 5, NPI: 0, Addr: "Acme"}},
		{"name with digits", "4Acme", "GB", nil, pdu.Address{TON: 5, NPI: 0, Addr: "4Acme"}},
		{"short code", "12345", "GB", nil, pdu.Address{TON: 3, NPI: 0, Addr: "12345"}},
		{"number", "447700900123", "GB", nil, pdu.Address{TON: 1, NPI: 1, Addr: "447700900123"}},
		{"number with +", "+447700900123", "GB", nil, pdu.Address{TON: 1, NPI: 1, Addr: "447700900123"}},
		{"only +", "+", "GB", nil, pdu.Address{TON: 5, NPI: 0, Addr: "+"}},
		{"none", "", "GB", nil, pdu.Address{}},
		{"by country and sender", "Acme", "US", func(c *smpp.Config) { c.Senders = rules }, pdu.Address{TON: 3, NPI: 0, Addr: "12345"}},
		{"by country", "Brand", "US", func(c *smpp.Config) { c.Senders = rules }, pdu.Address{TON: 1, NPI: 1, Addr: "18005550100"}},
		{"kept by the first rule that fits", "Other", "FR", func(c *smpp.Config) { c.Senders = rules }, pdu.Address{TON: 5, NPI: 0, Addr: "Other"}},
		{"by sender", "Other", "DE", func(c *smpp.Config) { c.Senders = rules }, pdu.Address{TON: 5, NPI: 0, Addr: "Else"}},
		{"by no rule", "Brand", "DE", func(c *smpp.Config) { c.Senders = rules }, pdu.Address{TON: 5, NPI: 0, Addr: "Brand"}},
		{"overridden", "Acme", "GB", func(c *smpp.Config) { c.SourceTON, c.SourceNPI = &seven, &seven }, pdu.Address{TON: 7, NPI: 7, Addr: "Acme"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			in(t, func(t *testing.T) {
				d := openIn(t, smsc.Config{}, func(c *smpp.Config) {
					c.ServiceType = "OTP"
					c.DestinationTON, c.DestinationNPI = c.SourceTON, c.SourceNPI
					if tt.set != nil {
						tt.set(c)
						c.DestinationTON, c.DestinationNPI = c.SourceTON, c.SourceNPI
					}
				})
				m := sms("hello")
				m.From, m.To.Country = tt.from, tt.country
				if _, err := d.Send(t.Context(), m); err != nil {
					t.Fatal(err)
				}
				got := d.smsc.Messages()[0].Submitted
				to := pdu.Address{TON: 1, NPI: 1, Addr: number}
				if tt.name == "overridden" {
					to.TON, to.NPI = 7, 7
				}
				if got.Source != tt.want || got.Destination != to || got.ServiceType != "OTP" {
					t.Errorf("from %+v, want %+v; to %+v, service_type %s", got.Source, tt.want, got.Destination, got.ServiceType)
				}
			})
		})
	}
}

// TestUnwritable: values that do not fit a field are refused, and no octet is written.
func TestUnwritable(t *testing.T) {
	t.Parallel()
	in(t, func(t *testing.T) {
		d := openIn(t, smsc.Config{}, func(c *smpp.Config) {
			c.Senders = []smpp.SenderRule{{Asked: "rule", Sender: "a\r\nb"}}
		})
		for name, change := range map[string]func(*deliver.Message){
			"NUL":            func(m *deliver.Message) { m.From = "Ac\x00me" },
			"CR":             func(m *deliver.Message) { m.From = "Acme\r" },
			"LF":             func(m *deliver.Message) { m.From = "\nAcme" },
			"DEL":            func(m *deliver.Message) { m.From = "Acme\x7f" },
			"not ASCII":      func(m *deliver.Message) { m.From = "Äcme" },
			"too long":       func(m *deliver.Message) { m.From = strings.Repeat("A", 21) },
			"of a rule":      func(m *deliver.Message) { m.From = "rule" },
			"in the number":  func(m *deliver.Message) { m.To = verify.PhoneAddress("4477\x0000", "") },
			"a long number":  func(m *deliver.Message) { m.To = verify.PhoneAddress(strings.Repeat("4", 21), "") },
			"too many parts": func(m *deliver.Message) { m.Text = strings.Repeat("a", 153*255+1) },
			"a call":         func(m *deliver.Message) { m.Channel = verify.TTS },
		} {
			m := sms("hello")
			change(&m)
			if _, err := d.Send(t.Context(), m); outcome(err) != "refused" {
				t.Errorf("%s: %v", name, err)
			}
		}
		if n := d.smsc.Counters().Submits; n != 0 {
			t.Errorf("%d messages were written", n)
		}
		send(t, d, 1) // the session is intact
	})
}

// TestValidity: validity_period is the remaining lifetime of the code.
func TestValidity(t *testing.T) {
	t.Parallel()
	tests := []struct {
		form smpp.Validity
		left time.Duration
		want string
	}{
		{"", 5 * time.Minute, "000000000500000R"},
		{smpp.ValidityRelative, 90061 * time.Second, "000001010101000R"},
		{smpp.ValidityRelative, 1999 * time.Millisecond, "000000000001000R"},
		{smpp.ValidityRelative, time.Millisecond, "000000000001000R"},
		{smpp.ValidityRelative, 5000 * time.Hour, "000099000000000R"},
		{smpp.ValidityAbsolute, 5 * time.Minute, "000101000500000+"},
		{smpp.ValidityAbsolute, 1999 * time.Millisecond, "000101000001000+"},
		{smpp.ValidityAbsolute, time.Millisecond, "000101000001000+"},
		{smpp.ValidityNone, 5 * time.Minute, ""},
	}
	for _, tt := range tests {
		t.Run(fmt.Sprint(tt.form, " ", tt.left), func(t *testing.T) {
			t.Parallel()
			in(t, func(t *testing.T) {
				var got pdu.PDU
				d, _, p := openPeer(t, func(c *smpp.Config) { c.Validity = tt.form })
				await.Pass(time.Until(time.Now().Truncate(time.Second).Add(time.Second)))
				m := sms("hello")
				m.ValidFor = tt.left
				go func() {
					got = p.next()
					p.accepts(got, "1")
				}()
				want := tt.want
				if tt.form == smpp.ValidityAbsolute {
					want = time.Now().UTC().Add(max(tt.left, time.Second)).Format("060102150405") + "000+"
				}
				if _, err := d.Send(t.Context(), m); err != nil {
					t.Fatal(err)
				}
				if v := got.Body.(*pdu.SubmitSM).ValidityPeriod; v != want {
					t.Errorf("validity_period %q, want %q", v, want)
				}
			})
		})
	}
	t.Run("over", func(t *testing.T) {
		t.Parallel()
		in(t, func(t *testing.T) {
			d := openIn(t, smsc.Config{})
			m := sms("hello")
			m.ValidFor = 0
			if _, err := d.Send(t.Context(), m); outcome(err) != "not sent" || d.smsc.Counters().Submits != 0 {
				t.Errorf("%v", err)
			}
		})
	})
	t.Run("after a wait", func(t *testing.T) { // for a slot: the remaining lifetime after the wait
		t.Parallel()
		in(t, func(t *testing.T) {
			d, _, p := openPeer(t, func(c *smpp.Config) { c.Window = 1 })
			first, second := d.begin("first"), deliver.Submission{}
			submit := p.next()
			done, dead := make(chan error, 1), make(chan error, 1)
			go func() {
				var err error
				second, err = d.Send(t.Context(), sms("second"))
				done <- err
			}()
			go func() {
				m := sms("third")
				m.ValidFor = time.Second
				_, err := d.Send(t.Context(), m)
				dead <- err
			}()
			await.Pass(2500 * time.Millisecond)
			p.accepts(submit, "1")
			submit = p.next()
			if got := submit.Body.(*pdu.SubmitSM); got.ValidityPeriod != "000000000457000R" {
				t.Errorf("%q has validity_period %q", got.ShortMessage, got.ValidityPeriod)
			}
			p.accepts(submit, "2")
			if err := <-dead; outcome(err) != "not sent" {
				t.Errorf("expired code: %v", err)
			}
			if err := <-done; err != nil || first.wait() != nil || len(second.Refs) != 1 {
				t.Errorf("%v", err)
			}
		})
	})
}

// TestNoReceipts: with NoReceipts no receipt is requested.
func TestNoReceipts(t *testing.T) {
	t.Parallel()
	in(t, func(t *testing.T) {
		d := openIn(t, smsc.Config{}, func(c *smpp.Config) { c.NoReceipts = true })
		sub, err := d.Send(t.Context(), sms("hello"))
		if err != nil || sub.Refs != nil || d.smsc.Messages()[0].Submitted.RegisteredDelivery != 0 {
			t.Errorf("%+v, %v", sub, err)
		}
	})
}

// TestConfig: New refuses an invalid configuration and starts no goroutine.
func TestConfig(t *testing.T) {
	t.Parallel()
	for name, change := range map[string]func(*smpp.Config){
		"addresses":   func(c *smpp.Config) { c.Addresses = nil },
		"binds":       func(c *smpp.Config) { c.Binds = 101 },
		"window":      func(c *smpp.Config) { c.Window = 1001 },
		"no window":   func(c *smpp.Config) { c.Window = -1 },
		"rate":        func(c *smpp.Config) { c.Rate = -1 },
		"timeout":     func(c *smpp.Config) { c.ResponseTimeout = -1 },
		"system_id":   func(c *smpp.Config) { c.SystemID = "sixteen letters!" },
		"password":    func(c *smpp.Config) { c.Password = "with\x00NUL" },
		"serviceType": func(c *smpp.Config) { c.ServiceType = "sixsix" },
	} {
		cfg := smpp.Config{Name: "test", Addresses: []string{"127.0.0.1:1"}, SystemID: "esme", Password: "secret"}
		change(&cfg)
		if c, err := smpp.New(cfg); err == nil || !strings.Contains(err.Error(), "carrier test") || strings.Contains(err.Error(), "NUL") {
			t.Errorf("%s: %v", name, err)
			if c != nil {
				_ = c.Close()
			}
		}
	}
}
