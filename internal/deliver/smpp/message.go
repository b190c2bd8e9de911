package smpp

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"time"

	"countersign/internal/deliver"
	"countersign/internal/deliver/gsm"
	"countersign/internal/deliver/smpp/pdu"
	"countersign/internal/verify"
)

// Channels returns the channels that the carrier supports.
func Channels() []verify.Channel { return []verify.Channel{verify.SMS} }

// compose returns the submit_sm of each part of m. submit adds the validity period,
// which depends on the time of submission.
func (c *Carrier) compose(m deliver.Message) ([]*pdu.SubmitSM, error) {
	if !slices.Contains(Channels(), m.Channel) {
		return nil, fmt.Errorf("channel %s", m.Channel)
	}
	reference := uint16(c.reference.Add(1)) // wraps around
	text, err := gsm.Encode(m.Text, c.cfg.text(), reference)
	if err != nil {
		return nil, err
	}
	common := pdu.Message{
		ServiceType: c.cfg.ServiceType,
		Source:      c.cfg.source(m),
		Destination: c.cfg.destination(m.To.Given),
		DataCoding:  dataCoding(text.Coding.Alphabet),
	}
	if !c.cfg.NoReceipts {
		common.RegisteredDelivery = pdu.ReceiptAlways
	}
	own, err := c.tlvsOf(m)
	if err != nil {
		return nil, err
	}
	parts := make([]*pdu.SubmitSM, len(text.Parts))
	for i, part := range text.Parts {
		p := &pdu.SubmitSM{Message: common}
		data := part.Payload
		if len(part.Header) > 0 {
			p.ESMClass |= pdu.ESMUDHI
			data = append(part.Header[:len(part.Header):len(part.Header)], part.Payload...)
		}
		if text.Segments > 1 && c.cfg.Concat == ConcatPayload {
			p.TLVs = append(p.TLVs, pdu.TLV{Tag: pdu.TagMessagePayload, Value: data})
		} else {
			p.ShortMessage = data
		}
		if text.Segments > 1 && c.cfg.Concat == ConcatSAR {
			p.TLVs = append(p.TLVs,
				pdu.Uint16(pdu.TagSARMsgRefNum, reference),
				pdu.Uint8(pdu.TagSARTotalSegments, uint8(len(text.Parts))),
				pdu.Uint8(pdu.TagSARSegmentSeqnum, uint8(i+1)))
		}
		p.TLVs = append(p.TLVs, own...)
		parts[i] = p
	}
	return parts, nil
}

// Segments returns the number of SMS segments of a text, which a carrier bills.
func (c *Config) Segments(text string) int { return gsm.Segments(text, c.text()) }

func (c *Config) text() gsm.Options {
	o := gsm.Options{Base: c.Alphabet, Languages: c.Languages, Wide: c.WideReference}
	switch c.Concat {
	case ConcatSAR:
		o.Concat = gsm.ConcatSAR
	case ConcatPayload:
		o.Concat = gsm.ConcatWhole
	case ConcatUDH:
	}
	return o
}

func dataCoding(a gsm.Alphabet) uint8 {
	switch a {
	case gsm.UCS2:
		return pdu.CodingUCS2
	case gsm.Latin1:
		return pdu.CodingLatin1
	case gsm.GSM7:
	}
	return pdu.CodingDefault
}

// source returns the source address of a message after the carrier's sender rules.
func (c *Config) source(m deliver.Message) pdu.Address {
	sender := m.From
	for _, rule := range c.Senders {
		if (rule.Country == "" || rule.Country == m.To.Country) && (rule.Asked == "" || rule.Asked == m.From) {
			if rule.Sender != "" {
				sender = rule.Sender
			}
			break
		}
	}
	a := address(sender)
	override(&a.TON, c.SourceTON)
	override(&a.NPI, c.SourceNPI)
	return a
}

func (c *Config) destination(number string) pdu.Address {
	a := pdu.Address{TON: pdu.TONInternational, NPI: pdu.NPIISDN, Addr: number}
	override(&a.TON, c.DestinationTON)
	override(&a.NPI, c.DestinationNPI)
	return a
}

func override(v *uint8, with *uint8) {
	if with != nil {
		*v = *with
	}
}

// maxShortCode is the maximum number of digits of a short code. Longer numbers are
// international.
const maxShortCode = 6

// address returns a sender with its type: none, alphanumeric, short code or number.
func address(s string) pdu.Address {
	digits := strings.TrimPrefix(s, "+")
	switch {
	case s == "": // default address of the SMSC (§5.2.8)
		return pdu.Address{TON: pdu.TONUnknown, NPI: pdu.NPIUnknown}
	case digits == "" || strings.Trim(digits, "0123456789") != "":
		return pdu.Address{TON: pdu.TONAlphanumeric, NPI: pdu.NPIUnknown, Addr: s}
	case len(digits) <= maxShortCode:
		return pdu.Address{TON: pdu.TONNetwork, NPI: pdu.NPIUnknown, Addr: digits}
	default:
		return pdu.Address{TON: pdu.TONInternational, NPI: pdu.NPIISDN, Addr: digits}
	}
}

// validityPeriod returns the time until dead as a validity_period (§7.1.1): relative,
// or absolute for carriers that support only that.
func (c *Config) validityPeriod(now, dead time.Time) string {
	switch c.Validity {
	case ValidityNone:
		return ""
	case ValidityAbsolute:
		if dead.Sub(now) < time.Second { // rounded down, it might be in the past
			dead = now.Add(time.Second)
		}
		return dead.UTC().Format("060102150405") + "000+"
	case ValidityRelative:
	}
	left := int(dead.Sub(now) / time.Second)
	left = min(max(left, 1), 99*86400) // the format has two digits for days
	b := []byte("000000000000000R")
	for i, n := range [...]int{left / 86400, left / 3600 % 24, left / 60 % 60, left % 60} {
		b[4+2*i], b[5+2*i] = byte('0'+n/10), byte('0'+n%10)
	}
	return string(b)
}

// randomReference returns a random first concatenation reference, so that references
// differ from those used before a restart.
func randomReference() uint32 { return rand.Uint32() } //nolint:gosec // no secret
