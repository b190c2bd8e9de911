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
	"countersign/internal/verify"
)

type smsCmd struct {
	Send smsSendCmd `cmd:"" help:"Send one SMS over a carrier, past the server, to see that it works."`
}

type smsSendCmd struct {
	configFlag
	Carrier      string            `help:"Carrier of the configuration, of type smpp." placeholder:"NAME"`
	SMPP         string            `name:"smpp" help:"SMSC to send over, instead of a carrier of the configuration." placeholder:"HOST:PORT"`
	TLS          bool              `name:"tls" help:"Speak TLS with the SMSC of --smpp."`
	SystemID     string            `help:"system_id for the SMSC of --smpp." placeholder:"ID"`
	Password     string            `help:"Password for the SMSC of --smpp. Others can see it on the command line." placeholder:"PW"`
	From         string            `help:"Sender. Default: ${default}." default:"VERIFY"`
	To           string            `help:"Number to send to, international." required:"" placeholder:"NUMBER"`
	Text         string            `help:"What to send." required:""`
	CarrierValue map[string]string `help:"Value of {{.Values.NAME}} in the settings of the carrier; may be repeated." placeholder:"NAME=VALUE" mapsep:"none"`
	WaitReceipt  bool              `help:"Wait until the carrier says what became of it; succeed only if it was delivered."`
	Timeout      time.Duration     `help:"How long to wait at most. Default: ${default}." default:"60s"`
}

// Run sends the message. It succeeds only when the carrier took it, and with
// --wait-receipt only when it was delivered.
func (c *smsSendCmd) Run(p *process) error {
	cfg, err := c.carrier(p)
	if err != nil {
		return err
	}
	to, err := phone.Parse(c.To, "")
	if err != nil {
		return fmt.Errorf("--to: %w", err)
	}
	ctx, cancel := context.WithTimeout(p.ctx, c.Timeout)
	defer cancel()
	desk := &receiptDesk{sent: make(chan struct{}), receipts: make(chan deliver.Receipt, 1000)}
	cfg.Reports = deliver.Reports{
		Receipt: desk.take,
		Answer:  func(context.Context, deliver.Answer) error { return nil },
	}
	if c.WaitReceipt {
		// The warning about receipts in plain messages explains a receipt that is missing.
		cfg.Log = newLogger(p.stderr, logLevel("warn"), "text")
	} else {
		// A bind that receives would take receipts that a running server waits for.
		cfg.Mode = smpp.Transmitter
	}
	carrier, err := smpp.New(cfg)
	if err != nil {
		return err
	}
	err = c.send(ctx, p, carrier, cfg, to, desk)
	return errors.Join(err, carrier.Close())
}

// receiptDesk takes the receipts of one message. Those of others are sent back to
// the carrier: a server beside us may be bound to it, and wait for them.
type receiptDesk struct {
	sent     chan struct{} // closed when refs are there
	refs     []string
	receipts chan deliver.Receipt
}

func (d *receiptDesk) take(ctx context.Context, r deliver.Receipt) error {
	select {
	case <-d.sent:
	case <-ctx.Done():
		return ctx.Err()
	}
	if !slices.Contains(d.refs, r.Ref) {
		return errors.New("it is for another message; the SMSC sends it again")
	}
	select {
	case d.receipts <- r:
		return nil
	default:
		return errors.New("more than anybody waits for")
	}
}

// carrier is the one that the flags describe or name.
func (c *smsSendCmd) carrier(p *process) (smpp.Config, error) {
	switch {
	case c.SMPP != "" && c.Carrier != "":
		return smpp.Config{}, errors.New("--smpp and --carrier exclude each other")
	case c.SMPP != "":
		cfg := smpp.Config{
			Name: c.SMPP, Addresses: []string{c.SMPP}, SystemID: c.SystemID, Password: c.Password,
		}
		if c.TLS {
			cfg.TLS = &tls.Config{MinVersion: tls.VersionTLS12}
		}
		return cfg, nil
	case c.Carrier == "":
		return smpp.Config{}, errors.New("--smpp or --carrier is missing")
	}
	cfg, err := c.load(p)
	if err != nil {
		return smpp.Config{}, err
	}
	if err := cfg.Validate(); err != nil {
		return smpp.Config{}, fmt.Errorf("configuration:\n%w", err)
	}
	i := slices.IndexFunc(cfg.Carriers, func(carrier config.Carrier) bool { return carrier.Name == c.Carrier })
	switch {
	case i < 0:
		return smpp.Config{}, fmt.Errorf("--carrier: the configuration has no %q", c.Carrier)
	case cfg.Carriers[i].Type != config.CarrierSMPP:
		return smpp.Config{}, fmt.Errorf("--carrier: %q is of type %s, not %s", c.Carrier, cfg.Carriers[i].Type, config.CarrierSMPP)
	}
	one, err := server.SMPPConfig(cfg.Carriers[i])
	one.Binds, one.IDScope = 1, smpp.ScopeCarrier // one session: print plain ids
	return one, err
}

func (c *smsSendCmd) send(
	ctx context.Context, p *process, carrier *smpp.Carrier, cfg smpp.Config, to phone.Number, desk *receiptDesk,
) error {
	if err := carrier.Bound(ctx); err != nil {
		return err
	}
	began := time.Now()
	sub, err := carrier.Send(ctx, deliver.Message{
		EventID: verify.NewID(rand.Reader), Attempt: 1, Channel: verify.SMS,
		Country: to.Country, To: to.Digits, From: c.From, Text: c.Text, Values: c.CarrierValue, ValidFor: c.Timeout,
	})
	if err != nil {
		return err
	}
	desk.refs = sub.Refs
	close(desk.sent)
	p.printf("accepted after %s: segments=%d message_id=%s\n",
		time.Since(began).Round(time.Millisecond), cfg.Segments(c.Text), strings.Join(sub.Refs, ","))
	if !c.WaitReceipt {
		return nil
	}
	if cfg.NoReceipts || cfg.Mode == smpp.Transmitter {
		return fmt.Errorf("carrier %s gives no receipts", cfg.Name)
	}
	return desk.await(ctx, p, began)
}

// await prints the receipts, until they say that the message was delivered or
// never will be.
func (d *receiptDesk) await(ctx context.Context, p *process, began time.Time) error {
	parts := make(map[string]verify.Part, len(d.refs))
	for _, ref := range d.refs {
		parts[ref] = verify.Part{State: verify.EventAccepted}
	}
	for {
		select {
		case r := <-d.receipts:
			parts[r.Ref] = parts[r.Ref].Report(r.State, r.Error)
			p.printf("%s\n", strings.TrimSpace(fmt.Sprintf("%s after %s: message_id=%s %s",
				r.State, time.Since(began).Round(time.Millisecond), r.Ref, r.Error)))
		case <-ctx.Done():
			return fmt.Errorf("no receipt: %w", ctx.Err())
		}
		switch state := outcome(parts); state {
		case verify.EventDelivered:
			return nil
		case verify.EventAccepted:
		default:
			return fmt.Errorf("the message is %s", state)
		}
	}
}

// outcome is what the parts come to: delivered when all are, lost when one is.
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
