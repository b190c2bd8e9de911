package sip

import "github.com/emiago/sipgo/sip"

// Normalised is the rewriting of messages before they are parsed.
func Normalised(message []byte) []byte { return normalised(message) }

// Streams rewrites what connections deliver.
type Streams = streams

// Filter is the read filter of a trunk.
func (s *Streams) Filter(from sip.TransportReadProps, data []byte) ([]byte, error) {
	return s.filter(from, data)
}

// Parts is the number of connections that are in the middle of a message.
func (s *Streams) Parts() int { return len(s.parts) }
