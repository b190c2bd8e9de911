package main

import (
	"context"
	"crypto/rand"
	"crypto/tls"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"countersign/internal/config"
	"countersign/internal/deliver"
	"countersign/internal/deliver/smpp"
	"countersign/internal/phone"
	"countersign/internal/server"
	"countersign/internal/suggest"
	"countersign/internal/verify"
)

type smsCmd struct {
	Send smsSendCmd `cmd:"" help:"Send one SMS over a carrier, bypassing the server."`
}

type smsSendCmd struct {
	configFlag
	outputFlags
	Carrier      string            `help:"Carrier of the configuration, of type smpp." placeholder:"NAME"`
	SMPP         string            `name:"smpp" help:"SMSC, instead of --carrier." placeholder:"HOST:PORT"`
	TLS          bool              `name:"tls" help:"Use TLS, for --smpp."`
	SystemID     string            `help:"system_id for --smpp." placeholder:"ID"`
	Password     string            `help:"Password for --smpp. Other users can see it on the command line." placeholder:"PW"`
	From         string            `help:"Sender. Default: ${default}." default:"VERIFY"`
	To           string            `help:"Recipient number, in international form." required:"" placeholder:"NUMBER"`
	Text         string            `help:"Text to send." required:""`
	CarrierValue map[string]string `help:"Value of {{.Values.NAME}} in carrier settings. Repeatable." placeholder:"NAME=VALUE" mapsep:"none"`
	WaitReceipt  bool              `help:"Wait for the final delivery receipt; fail unless the message is delivered."`
	Timeout      time.Duration     `help:"Maximum waiting time. Default: ${default}." default:"60s"`
}

// Run sends the message. It returns an error unless the carrier accepts the message and,
// with --wait-receipt, delivers it.
func (c *smsSendCmd) Run(p *process) error {
	cfg, err := c.carrier(p)
	if err != nil {
		return err
	}
	to, err := phone.Parse(c.To, "")
	if err != nil {
		return usagef("--to: %w", err)
	}
	ctx, cancel := context.WithTimeout(p.ctx, c.Timeout)
	defer cancel()
	desk := &receiptDesk{sent: make(chan struct{}), receipts: make(chan deliver.Receipt, 1000)}
	cfg.Reports = deliver.Reports{
		Receipt: desk.receive,
		Answer:  func(context.Context, deliver.Answer) error { return nil },
	}
	if c.WaitReceipt {
		// The carrier warns about receipts in plain messages, which explains a missing receipt.
		cfg.Log = newLogger(p.stderr, logLevel("warn"), "text")
	} else {
		// A receiving bind would consume receipts that a running server waits for.
		cfg.Mode = smpp.Transmitter
	}
	carrier, err := smpp.New(cfg)
	if err != nil {
		return err
	}
	sent, err := c.send(ctx, p, carrier, cfg, to, desk)
	err = errors.Join(err, carrier.Close())
	if len(sent.MessageIDs) == 0 || c.Output == "table" && !p.quiet {
		return err
	}
	return errors.Join(err, record[sentSMS]{document: sent, ids: sent.MessageIDs}.print(p, c.outputFlags))
}

// sentSMS is the JSON form of a sent message.
type sentSMS struct {
	Status     verify.EventState `json:"status"`
	MessageIDs []string          `json:"message_ids"` // assigned by the carrier, one for each segment
	Segments   int               `json:"segments"`
	Seconds    float64           `json:"seconds"` // until the last response or receipt
}

// progressf prints progress, in the table form only.
func (f outputFlags) progressf(p *process, format string, args ...any) {
	if f.Output == "table" {
		p.printf(format, args...)
	}
}

// receiptDesk accepts the receipts of one message. It rejects other receipts, so that the
// SMSC resends them: a server bound to it may wait for them.
type receiptDesk struct {
	sent     chan struct{} // closed once refs is set
	refs     []string
	receipts chan deliver.Receipt
}

func (d *receiptDesk) receive(ctx context.Context, r deliver.Receipt) error {
	select {
	case <-d.sent:
	case <-ctx.Done():
		return ctx.Err()
	}
	if !slices.Contains(d.refs, r.Ref) {
		return errors.New("receipt of another message; the SMSC resends it")
	}
	select {
	case d.receipts <- r:
		return nil
	default:
		return errors.New("too many receipts")
	}
}

// carrier returns the settings of the carrier that the flags name or describe.
func (c *smsSendCmd) carrier(p *process) (smpp.Config, error) {
	switch {
	case c.SMPP != "" && c.Carrier != "":
		return smpp.Config{}, usagef("--smpp and --carrier exclude each other")
	case c.SMPP != "":
		cfg := smpp.Config{
			Name: c.SMPP, Addresses: []string{c.SMPP}, SystemID: c.SystemID, Password: c.Password,
		}
		if c.TLS {
			cfg.TLS = &tls.Config{MinVersion: tls.VersionTLS12}
		}
		return cfg, nil
	case c.Carrier == "":
		return smpp.Config{}, usagef("--smpp or --carrier is missing")
	}
	cfg, err := c.load(p)
	if err != nil {
		return smpp.Config{}, err
	}
	if err := p.valid(cfg); err != nil {
		return smpp.Config{}, err
	}
	i := slices.IndexFunc(cfg.Carriers, func(carrier config.Carrier) bool { return carrier.Name == c.Carrier })
	switch {
	case i < 0:
		return smpp.Config{}, notFoundf("--carrier: the configuration has no %q%s", c.Carrier, suggest.Hint(c.Carrier, cfg.CarrierNames()))
	case cfg.Carriers[i].Type != config.CarrierSMPP:
		return smpp.Config{}, usagef("--carrier: %q is of type %s, not %s", c.Carrier, cfg.Carriers[i].Type, config.CarrierSMPP)
	}
	one, err := server.SMPPConfig(cfg.Carriers[i])
	one.Binds, one.IDScope = 1, smpp.ScopeCarrier // one session: print plain ids
	return one, err
}

func (c *smsSendCmd) send(
	ctx context.Context, p *process, carrier *smpp.Carrier, cfg smpp.Config, to phone.Number, desk *receiptDesk,
) (sent sentSMS, err error) {
	if err := carrier.Bound(ctx); err != nil {
		return sent, err
	}
	began := time.Now()
	sub, err := carrier.Send(ctx, deliver.Message{
		EventID: verify.NewID(rand.Reader), Attempt: 1, Channel: verify.SMS,
		To: verify.PhoneAddress(to.Digits, to.Country), From: c.From, Text: c.Text, Values: c.CarrierValue, ValidFor: c.Timeout,
	})
	if err != nil {
		return sent, err
	}
	desk.refs = sub.Refs
	close(desk.sent)
	sent = sentSMS{Status: verify.EventAccepted, MessageIDs: sub.Refs, Segments: cfg.Segments(c.Text), Seconds: seconds(time.Since(began))}
	c.progressf(p, "accepted after %s: segments=%d message_id=%s\n",
		time.Since(began).Round(time.Millisecond), sent.Segments, strings.Join(sub.Refs, ","))
	if !c.WaitReceipt {
		return sent, nil
	}
	if cfg.NoReceipts || cfg.Mode == smpp.Transmitter {
		return sent, fmt.Errorf("carrier %s sends no receipts; omit --wait-receipt", cfg.Name)
	}
	sent.Status, err = desk.await(ctx, began, func(format string, args ...any) { c.progressf(p, format, args...) })
	sent.Seconds = seconds(time.Since(began))
	return sent, err
}

// await prints receipts until the message reaches a final state. It returns the last
// state, with an error unless the message was delivered.
func (d *receiptDesk) await(ctx context.Context, began time.Time, printf func(string, ...any)) (verify.EventState, error) {
	parts := make(map[string]verify.Part, len(d.refs))
	for _, ref := range d.refs {
		parts[ref] = verify.Part{State: verify.EventAccepted}
	}
	for {
		select {
		case r := <-d.receipts:
			parts[r.Ref] = parts[r.Ref].Report(r.State, r.Error)
			printf("%s\n", strings.TrimSpace(fmt.Sprintf("%s after %s: message_id=%s %s",
				r.State, time.Since(began).Round(time.Millisecond), r.Ref, r.Error)))
		case <-ctx.Done():
			return outcome(parts), fmt.Errorf("no receipt: %w", ctx.Err())
		}
		switch state := outcome(parts); state {
		case verify.EventDelivered:
			return state, nil
		case verify.EventAccepted:
		default:
			return state, fmt.Errorf("the message was not delivered: state %s", state)
		}
	}
}

// outcome returns the state of the message: the final state of a failed part, else
// accepted while a receipt is missing, else delivered.
func outcome(parts map[string]verify.Part) verify.EventState {
	state := verify.EventDelivered
	for _, p := range parts {
		switch p.State {
		case verify.EventDelivered:
		case verify.EventAccepted:
			state = verify.EventAccepted
		default:
			return p.State
		}
	}
	return state
}
