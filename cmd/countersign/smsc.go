package main

import (
	"crypto/rand"
	"crypto/tls"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"sync"
	"time"

	"countersign/internal/deliver/smpp/pdu"
	"countersign/internal/deliver/smpp/smsc"
)

type smscCmd struct {
	Listen   []string `help:"Address to listen on. Repeatable: one SMSC with several addresses. Default: ${default}." default:"127.0.0.1:2775" sep:"none" placeholder:"HOST:PORT"`
	SystemID string   `help:"Required system_id of binds. Default: any." placeholder:"ID"`
	Password string   `help:"Required password of binds. Default: any." placeholder:"PASSWORD"`
	Fault    []string `help:"Fault to simulate, listed above. Repeatable." sep:"none" placeholder:"NAME=VALUE"`
	Receipts string   `help:"Receipt format: none, text, tlv or both. Default: ${default}." enum:"none,text,tlv,both" default:"both"`
	IDs      string   `help:"Message id format: decimal, hex, hex-resp-decimal-receipt, decimal-resp-hex-receipt or uuid. Default: ${default}." name:"ids" enum:"decimal,hex,hex-resp-decimal-receipt,decimal-resp-hex-receipt,uuid" default:"decimal"`
	TLSCert  string   `help:"Certificate file (PEM) for TLS." type:"path" placeholder:"FILE"`
	TLSKey   string   `help:"Key file (PEM) for TLS." type:"path" placeholder:"FILE"`
	Seed     uint64   `help:"Seed of random faults and ids, to repeat another run. Default: random." placeholder:"N"`
}

// Help is shown above the flags.
func (*smscCmd) Help() string {
	return "Prints one line of JSON for each message, including numbers and codes.\n\nFaults:\n\n" + smsc.FaultHelp()
}

// Run accepts messages until a signal ends the process.
func (c *smscCmd) Run(p *process) error {
	defer p.endOnHangup()()
	config, err := c.config()
	if err != nil {
		return err
	}
	out := &lines{enc: json.NewEncoder(p.stdout)}
	out.enc.SetEscapeHTML(false)
	config.OnMessage = out.message
	s := smsc.New(config)
	for _, address := range c.Listen {
		if err := s.Listen(address); err != nil {
			return errors.Join(fmt.Errorf("--listen: %w", err), s.Close())
		}
	}
	for _, address := range s.Addrs() {
		out.print(struct {
			Listening string `json:"listening"`
			Seed      uint64 `json:"seed"`
		}{address, config.Seed})
	}
	<-p.ctx.Done()
	return s.Close()
}

func (c *smscCmd) config() (config smsc.Config, err error) {
	config = smsc.Config{SystemID: c.SystemID, Password: c.Password, Seed: c.Seed, EnquireLink: time.Minute}
	if config.Faults, err = smsc.ParseFaults(c.Fault...); err != nil {
		return config, usagef("--fault: %w", err)
	}
	if config.Receipts, err = smsc.ParseReceipts(c.Receipts); err != nil {
		return config, err
	}
	if config.IDs, err = smsc.ParseIDs(c.IDs); err != nil {
		return config, err
	}
	if c.TLSCert != "" || c.TLSKey != "" {
		if c.TLSCert == "" || c.TLSKey == "" {
			return config, usagef("--tls-cert and --tls-key must be given together")
		}
		pair, err := tls.LoadX509KeyPair(c.TLSCert, c.TLSKey)
		if err != nil {
			return config, fmt.Errorf("tls: %w", err)
		}
		config.TLS = &tls.Config{Certificates: []tls.Certificate{pair}, MinVersion: tls.VersionTLS12}
	}
	for config.Seed == 0 {
		var b [8]byte
		_, _ = rand.Read(b[:]) // never fails
		// JSON readers with 64-bit floats keep 53 bits exactly.
		config.Seed = binary.BigEndian.Uint64(b[:]) >> 11
	}
	return config, nil
}

// lines prints JSON, one value per line.
type lines struct {
	mu  sync.Mutex
	enc *json.Encoder
}

func (l *lines) print(v any) {
	l.mu.Lock()
	defer l.mu.Unlock()
	_ = l.enc.Encode(v) // a closed stdout has no remedy
}

// smscAddress and smscLine are output, documented in
// docs/how-to/rehearse-with-the-smsc.md.
type smscAddress struct {
	TON  uint8  `json:"ton"`
	NPI  uint8  `json:"npi"`
	Addr string `json:"addr"`
}

type smscLine struct {
	Time               time.Time         `json:"time"`
	Session            uint64            `json:"session"`
	SystemID           string            `json:"system_id"`
	MessageID          string            `json:"message_id"`
	From               smscAddress       `json:"from"`
	To                 smscAddress       `json:"to"`
	ServiceType        string            `json:"service_type,omitempty"`
	ESMClass           uint8             `json:"esm_class"`
	DataCoding         uint8             `json:"data_coding"`
	Alphabet           string            `json:"alphabet"`
	RegisteredDelivery uint8             `json:"registered_delivery"`
	ValidityPeriod     string            `json:"validity_period,omitempty"`
	UDH                string            `json:"udh,omitempty"`
	TLVs               map[string]string `json:"tlvs,omitempty"`
	Ref                int               `json:"ref,omitempty"`
	Part               int               `json:"part"`
	Parts              int               `json:"parts"`
	Text               string            `json:"text"`
	Data               string            `json:"data,omitempty"`
}

type smscWhole struct {
	Time      time.Time   `json:"time"`
	SystemID  string      `json:"system_id"`
	MessageID string      `json:"message_id"` // id of the last received part
	From      smscAddress `json:"from"`
	To        smscAddress `json:"to"`
	Ref       int         `json:"ref"`
	Parts     int         `json:"parts"`
	Whole     string      `json:"whole"`
}

func (l *lines) message(m smsc.Message) {
	s := m.Submitted
	line := smscLine{
		Time: m.At, Session: m.Session, SystemID: m.SystemID, MessageID: m.ID,
		From: smscAddress(s.Source), To: smscAddress(s.Destination), ServiceType: s.ServiceType,
		ESMClass: s.ESMClass, DataCoding: s.DataCoding, Alphabet: m.Alphabet,
		RegisteredDelivery: s.RegisteredDelivery, ValidityPeriod: s.ValidityPeriod,
		UDH: hex.EncodeToString(m.Header), TLVs: smscTLVs(s.TLVs), Ref: m.Ref, Part: m.Part, Parts: m.Parts, Text: m.Text,
	}
	if m.Alphabet == smsc.AlphabetBinary {
		line.Data = hex.EncodeToString(s.UserData())
	}
	l.print(line)
	if m.Complete && m.Parts > 1 {
		l.print(smscWhole{m.At, m.SystemID, m.ID, line.From, line.To, m.Ref, m.Parts, m.Whole})
	}
}

// smscTLVs returns the optional parameters by tag, both in hexadecimal.
func smscTLVs(list pdu.TLVs) map[string]string {
	if len(list) == 0 {
		return nil
	}
	found := map[string]string{}
	for _, t := range list {
		found[fmt.Sprintf("%04x", uint16(t.Tag))] = hex.EncodeToString(t.Value)
	}
	return found
}
