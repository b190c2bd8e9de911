package smsc

import "sync/atomic"

// Counters are event counts since the creation of the SMSC.
type Counters struct {
	Connections     uint64
	Binds           uint64 // accepted binds
	BindsRefused    uint64
	Submits         uint64 // submit_sm and data_sm, accepted or not
	Accepted        uint64 // accepted messages
	Responses       uint64 // queued responses to submit_sm and data_sm
	Receipts        uint64 // sent receipts, including retries
	ReceiptsTaken   uint64 // receipts answered with ESME_ROK
	ReceiptsRefused uint64 // receipts answered with another status
	ReceiptsDropped uint64 // receipts above maxKept or permanently refused
}

type counters struct {
	connections, binds, bindsRefused, submits, accepted, responses atomic.Uint64
	receipts, receiptsTaken, receiptsRefused, receiptsDropped      atomic.Uint64
}

// Counters returns the current counts.
func (s *Server) Counters() Counters {
	c := &s.counters
	return Counters{
		Connections: c.connections.Load(), Binds: c.binds.Load(), BindsRefused: c.bindsRefused.Load(),
		Submits: c.submits.Load(), Accepted: c.accepted.Load(), Responses: c.responses.Load(),
		Receipts: c.receipts.Load(), ReceiptsTaken: c.receiptsTaken.Load(),
		ReceiptsRefused: c.receiptsRefused.Load(), ReceiptsDropped: c.receiptsDropped.Load(),
	}
}
