package apiv1

import (
	"encoding/xml"
	"time"

	"countersign/internal/verify"
)

// All scalars of an answer are text, the status included (spec §3). The order of
// the fields is that of the original's answers.

// startResponse answers an accepted request.
type startResponse struct {
	XMLName   xml.Name `json:"-" xml:"verify_response"`
	RequestID string   `json:"request_id" xml:"request_id"`
	Status    string   `json:"status" xml:"status"`
}

// checkResponse answers a right code.
type checkResponse struct {
	XMLName   xml.Name `json:"-" xml:"verify_response"`
	RequestID string   `json:"request_id" xml:"request_id"`
	Status    string   `json:"status" xml:"status"`
	EventID   string   `json:"event_id" xml:"event_id"`
	Price     string   `json:"price" xml:"price"`
	Currency  string   `json:"currency" xml:"currency"`

	EstimatedPrice string `json:"estimated_price_messages_sent" xml:"estimated_price_messages_sent"`
}

// controlResponse answers a command that was carried out.
type controlResponse struct {
	XMLName xml.Name `json:"-" xml:"response"`
	Status  string   `json:"status" xml:"status"`
	Command string   `json:"command" xml:"command"`
}

// errorResponse answers a call that was refused. Its root depends on the call.
type errorResponse struct {
	XMLName   xml.Name `json:"-"`
	RequestID string   `json:"request_id,omitempty" xml:"request_id,omitempty"`
	Status    string   `json:"status" xml:"status"`
	ErrorText string   `json:"error_text" xml:"error_text"`
	Network   string   `json:"network,omitempty" xml:"network,omitempty"`
}

// searchErrorResponse is a refused search. In XML it has an empty request_id; in
// JSON it must have none, since an SDK takes its absence for "not found".
type searchErrorResponse struct {
	XMLName   xml.Name `json:"-"`
	RequestID string   `json:"-" xml:"request_id"`
	Status    string   `json:"status" xml:"status"`
	ErrorText string   `json:"error_text" xml:"error_text"`
}

// searchResponse is one verification in the answer to a search. Its status is a
// word, not a number.
type searchResponse struct {
	XMLName        xml.Name  `json:"-" xml:"verify_request"`
	RequestID      string    `json:"request_id" xml:"request_id"`
	AccountID      string    `json:"account_id" xml:"account_id"`
	Number         string    `json:"number" xml:"number"`
	SenderID       string    `json:"sender_id" xml:"sender_id"`
	DateSubmitted  string    `json:"date_submitted" xml:"date_submitted"`
	DateFinalized  string    `json:"date_finalized" xml:"date_finalized"`
	Checks         checkList `json:"checks" xml:"checks"`
	FirstEventDate string    `json:"first_event_date" xml:"first_event_date"`
	LastEventDate  string    `json:"last_event_date" xml:"last_event_date"`
	Price          string    `json:"price" xml:"price"`
	Currency       string    `json:"currency" xml:"currency"`
	Status         string    `json:"status" xml:"status"`
	EstimatedPrice string    `json:"estimated_price_messages_sent" xml:"estimated_price_messages_sent"`
	Events         eventList `json:"events" xml:"events"`
}

// searchListResponse answers a search for several verifications.
type searchListResponse struct {
	XMLName  xml.Name         `json:"-" xml:"verification_requests"`
	Requests []searchResponse `json:"verification_requests" xml:"verify_request"`
}

type checkItem struct {
	DateReceived string `json:"date_received" xml:"date_received"`
	Code         string `json:"code" xml:"code"`
	Status       string `json:"status" xml:"status"` // VALID or INVALID
	IPAddress    string `json:"ip_address" xml:"ip_address"`
}

// eventItem shows an event. Status is ours: the original leaves it out, and its
// clients pass over what they do not know.
type eventItem struct {
	ID     string `json:"id" xml:"id"`
	Type   string `json:"type" xml:"type"`
	Status string `json:"status" xml:"status"`
	Note   string `json:"note,omitempty" xml:"note,omitempty"`
}

type (
	checkList []checkItem
	eventList []eventItem
)

// MarshalXML wraps the list in its element even when it is empty: <checks/>.
func (l checkList) MarshalXML(enc *xml.Encoder, start xml.StartElement) error {
	return enc.EncodeElement(struct {
		Items []checkItem `xml:"check"`
	}{l}, start)
}

// MarshalXML wraps the list in its element even when it is empty: <events/>.
func (l eventList) MarshalXML(enc *xml.Encoder, start xml.StartElement) error {
	return enc.EncodeElement(struct {
		Items []eventItem `xml:"event"`
	}{l}, start)
}

// defaultSenderShown is the sender of a verification that named none, as search
// shows it; the message itself says VERIFY (spec §3).
const defaultSenderShown = "verify"

func (a *API) searchAnswer(r verify.Verification) searchResponse {
	answer := searchResponse{
		RequestID:      r.ID.Hex(),
		AccountID:      r.Account,
		Number:         r.To.Given,
		SenderID:       r.Sender,
		DateSubmitted:  date(r.SubmittedAt),
		DateFinalized:  date(r.FinalizedAt),
		Checks:         make(checkList, 0, len(r.Checks)),
		FirstEventDate: date(r.FirstEventAt()),
		LastEventDate:  date(r.LastEventAt()),
		Price:          price(r.Charged()),
		Currency:       a.cfg.Currency,
		Status:         string(r.Status),
		Events:         make(eventList, 0, len(r.Events)),
	}
	if answer.SenderID == "" {
		answer.SenderID = defaultSenderShown
	}
	for _, c := range r.Checks {
		item := checkItem{DateReceived: date(c.ReceivedAt), Code: c.Code.Reveal(), Status: "INVALID", IPAddress: c.IPAddress}
		if c.Valid {
			item.Status = "VALID"
		}
		answer.Checks = append(answer.Checks, item)
	}
	for _, e := range r.Events {
		answer.Events = append(answer.Events, eventItem{ID: e.ID.String(), Type: string(e.Channel), Status: string(e.State), Note: e.Error})
	}
	answer.EstimatedPrice = r.Cost().String()
	return answer
}

// date is "" for what has not happened yet.
func date(t time.Time) string {
	if t.IsZero() {
		return ""
	}
	return t.UTC().Format(time.DateTime)
}

// price is "0" for what was not charged, and else has 8 decimals.
func price(m verify.Money) string {
	if m == 0 {
		return "0"
	}
	return m.String()
}
