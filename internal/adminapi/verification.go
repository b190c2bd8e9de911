package adminapi

import (
	"net/http"
	"time"

	"countersign/internal/store"
	"countersign/internal/verify"
	"countersign/internal/web"
)

// Verifications is the response with verifications, newest first.
type Verifications struct {
	Verifications []Verification `json:"verifications"`
}

// Verification is a verification for support: without PINs and codes, with a masked number.
type Verification struct {
	ID          string        `json:"id"`
	Account     string        `json:"account"`
	Number      string        `json:"number"` // masked; "" after it was erased
	Country     string        `json:"country"`
	Brand       string        `json:"brand"`
	Locale      string        `json:"locale"`
	Status      verify.Status `json:"status"`
	SubmittedAt string        `json:"submitted_at"`
	FinalizedAt string        `json:"finalized_at"` // "" while in progress
	Price       string        `json:"price"`
	Events      []Event       `json:"events"`
	Checks      []Check       `json:"checks"`
}

// Event is one delivery attempt.
type Event struct {
	ID        string            `json:"id"`
	Channel   verify.Channel    `json:"channel"`
	State     verify.EventState `json:"state"`
	StartedAt string            `json:"started_at"`
	Carrier   string            `json:"carrier"`
	Error     string            `json:"error"`
	Attempts  int               `json:"attempts"` // number of submissions to carriers
	Failures  []Failure         `json:"failures"`
	Cost      string            `json:"cost"`
}

// Failure is a carrier that did not accept the message, with its error code.
type Failure struct {
	Carrier string `json:"carrier"`
	Error   string `json:"error"`
	Text    string `json:"text"`    // complete text; "" if it equals error
	Attempt int    `json:"attempt"` // 0 if unknown
}

// Check is a submitted code, without the code itself.
type Check struct {
	ReceivedAt string `json:"received_at"`
	Valid      bool   `json:"valid"`
	IPAddress  string `json:"ip_address"`
}

func toVerification(r verify.Verification, now time.Time) Verification {
	at := r.At(now)
	v := Verification{
		ID: r.ID.Hex(), Account: r.Account, Country: r.To.Country, Brand: r.Brand, Locale: r.Locale,
		Status: at.Status, SubmittedAt: stamp(r.SubmittedAt), FinalizedAt: stamp(at.FinalizedAt), Price: r.Charged().String(),
		Events: each(r.Events, toEvent), Checks: each(r.Checks, func(c verify.Check) Check { return Check{stamp(c.ReceivedAt), c.Valid, c.IPAddress} }),
	}
	if r.To.Given != "" {
		v.Number = r.To.Masked()
	}
	return v
}

func toEvent(e verify.Event) Event {
	return Event{
		ID: e.ID.String(), Channel: e.Channel, State: e.State, StartedAt: stamp(e.StartedAt), Carrier: e.Carrier, Error: e.Error,
		Attempts: e.Attempt, Failures: each(e.Failures, func(f verify.Failure) Failure { return Failure(f) }), Cost: e.Cost().String(),
	}
}

const (
	usualSpan   = 7 * 24 * time.Hour
	longestSpan = 31 * 24 * time.Hour // limit for reading the archive
)

func (c *exchange) findVerifications() (any, error) {
	query := c.query
	var err error
	f := store.VerificationFilter{Account: query.Get("account")}
	if query.Get("number") == "" && f.Account == "" {
		return nil, invalid("number", "must be given, or account")
	}
	if query.Has("number") {
		if f.Number, err = number("number", query.Get("number")); err != nil {
			return nil, err
		}
	}
	if f.Until, err = moment(query, "until"); err != nil {
		return nil, err
	}
	if f.Until.IsZero() {
		f.Until = c.now().Add(time.Second)
	}
	if f.Since, err = moment(query, "since"); err != nil {
		return nil, err
	}
	if f.Since.IsZero() {
		f.Since = f.Until.Add(-usualSpan)
	}
	if span := f.Until.Sub(f.Since); span <= 0 || span > longestSpan+time.Second {
		return nil, invalid("since", "must be before until, by at most %d days", longestSpan/(24*time.Hour))
	}
	if f.Limit, err = limit(query, 20, 100); err != nil {
		return nil, err
	}
	records, err := c.cfg.Store.FindVerifications(c.r.Context(), f)
	if err != nil {
		return nil, err
	}
	return Verifications{each(records, func(v verify.Verification) Verification { return toVerification(v, c.now()) })}, nil
}

func (c *exchange) showVerification() (any, error) {
	rec, err := c.findVerification()
	if err != nil {
		return nil, err
	}
	return toVerification(rec, c.now()), nil
}

// findVerification returns the verification in the path.
func (c *exchange) findVerification() (verify.Verification, error) {
	id, ok := verify.ParseID(c.r.PathValue("id"))
	if !ok {
		return verify.Verification{}, invalid("id", "is not a request_id")
	}
	rec, found, err := c.cfg.Store.Verification(c.r.Context(), id)
	if err == nil && !found {
		err = &web.Problem{Status: http.StatusNotFound, Parameter: "id", Detail: "no such verification"}
	}
	return rec, err
}
