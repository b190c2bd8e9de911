package smsc

import "sync/atomic"

// Counters tell how often something happened since the SMSC was made.
type Counters struct {
	Connections     uint64
	Binds           uint64 // accepted
	BindsRefused    uint64
	Submits         uint64 // submit_sm and data_sm, accepted or not
	Accepted        uint64 // of Submits
	Responses       uint64 // to Submits, handed to the connection
	Receipts        uint64 // sent, each time one is
	ReceiptsTaken   uint64 // answered with ESME_ROK
	ReceiptsRefused uint64 // answered with anything else
	ReceiptsDropped uint64 // too many were kept, or refused for good
}

type counters struct {
	connections, binds, bindsRefused, submits, accepted, responses atomic.Uint64
	receipts, receiptsTaken, receiptsRefused, receiptsDropped      atomic.Uint64
}

// Counters gives the counts so far.
func (s *Server) Counters() Counters {
	c := &s.counters
	return Counters{
		Connections: c.connections.Load(), Binds: c.binds.Load(), BindsRefused: c.bindsRefused.Load(),
		Submits: c.submits.Load(), Accepted: c.accepted.Load(), Responses: c.responses.Load(),
		Receipts: c.receipts.Load(), ReceiptsTaken: c.receiptsTaken.Load(),
		ReceiptsRefused: c.receiptsRefused.Load(), ReceiptsDropped: c.receiptsDropped.Load(),
	}
}
