package verify

import (
	"io"
	"time"
)

// Beginning is the input of [Begin].
type Beginning struct {
	Request
	Price     Money
	Payer     string // key of the paying account; "" for Account
	OnSuccess bool   // charge the price on success

	Running *Verification // verification in progress for the account and address, or nil
	History History       // history of the address of the first step
	Funds   Funds         // funds of the payer
	Node    string        // name of the node that submits the first event
}

// Begin accepts a request. It returns KindConcurrent with the id of a verification in
// progress, KindBlocked at a cap of the address, and KindNoCredit. KindConcurrent precedes
// KindBlocked, so that a retry after a lost response finds the verification in progress
// even at a cap. ended is the end of a running verification that expired before any node
// took that step, or nil.
func Begin(b Beginning, now time.Time, rnd io.Reader) (begun Change, ended *Change, err error) {
	if b.Running != nil {
		if b.Running.running(now) {
			return begun, nil, &Error{Kind: KindConcurrent, Request: b.Running.ID}
		}
	}
	if by := b.History.MaySend(now); by != nil {
		return begun, nil, &Error{Kind: KindBlocked, By: *by}
	}
	if b.Price != 0 {
		if by := b.Funds.Shortage(b.Price, now); by != nil {
			return begun, nil, &Error{Kind: KindNoCredit, By: *by}
		}
	}
	if b.Running != nil {
		c := b.Running.change()
		c.finish(Expired, b.Running.endedAt(now), now)
		ended = c
	}
	v := Verification{ID: IDAt(now, rnd), Request: b.Request, Price: b.Price, Status: InProgress, SubmittedAt: now}
	if b.Payer != b.Account {
		v.Payer = b.Payer
	}
	c := &Change{Verification: v, New: true}
	c.fact(Fact{At: now, Kind: Started})
	c.charge(b.OnSuccess, now)
	c.nextEvent(now, now, b.Node, rnd)
	c.History = b.History.Sent(now)
	return *c, ended, nil
}
