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
	Carrier     string        `help:"Carrier of the configuration, of type smpp." placeholder:"NAME"`
	SMPP        string        `name:"smpp" help:"SMSC to send over, instead of a carrier of the configuration." placeholder:"HOST:PORT"`
	TLS         bool          `name:"tls" help:"Speak TLS with the SMSC of --smpp."`
	SystemID    string        `help:"system_id for the SMSC of --smpp." placeholder:"ID"`
	Password    string        `help:"Password for the SMSC of --smpp. Others can see it on the command line." placeholder:"PW"`
	From        string        `help:"Sender. Default: ${default}." default:"VERIFY"`
	To          string        `help:"Number to send to, international." required:"" placeholder:"NUMBER"`
	Text        string        `help:"What to send." required:""`
	WaitReceipt bool          `help:"Wait until the carrier says what became of it; succeed only if it was delivered."`
	Timeout     time.Duration `help:"How long to wait at most. Default: ${default}." default:"60s"`
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
	receipts := make(chan deliver.Receipt, 1000)
	cfg.Reports = deliver.Reports{
		Receipt: func(_ context.Context, r deliver.Receipt) error {
			select {
			case receipts <- r:
			default: // more than anybody waits for
			}
			return nil
		},
		Answer: func(context.Context, deliver.Answer) error { return nil },
	}
	cfg.NoReceipts = cfg.NoReceipts || !c.WaitReceipt
	carrier, err := smpp.New(cfg)
	if err != nil {
		return err
	}
	err = c.send(ctx, p, carrier, cfg, to, receipts)
	return errors.Join(err, carrier.Close())
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
	one.Binds = 1
	return one, err
}

func (c *smsSendCmd) send(
	ctx context.Context, p *process, carrier *smpp.Carrier, cfg smpp.Config, to phone.Number, receipts <-chan deliver.Receipt,
) error {
	if err := carrier.Bound(ctx); err != nil {
		return err
	}
	began := time.Now()
	sub, err := carrier.Send(ctx, deliver.Message{
		EventID: verify.NewID(rand.Reader), Attempt: 1, Channel: verify.SMS,
		Country: to.Country, To: to.Digits, From: c.From, Text: c.Text, ValidFor: c.Timeout,
	})
	if err != nil {
		return err
	}
	p.printf("accepted after %s: segments=%d message_id=%s\n",
		time.Since(began).Round(time.Millisecond), cfg.Segments(c.Text), strings.Join(sub.Refs, ","))
	if !c.WaitReceipt {
		return nil
	}
	if cfg.NoReceipts || cfg.Mode == smpp.Transmitter {
		return fmt.Errorf("carrier %s gives no receipts", cfg.Name)
	}
	parts := make(map[string]verify.Part, len(sub.Refs))
	for _, ref := range sub.Refs {
		parts[ref] = verify.Part{State: verify.EventAccepted}
	}
	for {
		select {
		case r := <-receipts:
			part, ours := parts[r.Ref]
			if !ours {
				continue
			}
			parts[r.Ref] = part.Report(r.State, r.Error)
			p.printf("%s after %s: message_id=%s %s\n", r.State, time.Since(began).Round(time.Millisecond), r.Ref, r.Error)
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
