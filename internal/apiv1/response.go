package apiv1

import (
	"encoding/xml"
	"time"

	"countersign/internal/verify"
)

// All scalars of a response are text, including the status (spec §3). The fields have the
// order of the original's responses.

// startResponse is the response to an accepted start.
type startResponse struct {
	XMLName   xml.Name `json:"-" xml:"verify_response"`
	RequestID string   `json:"request_id" xml:"request_id"`
	Status    string   `json:"status" xml:"status"`
}

// checkResponse is the response to a right code.
type checkResponse struct {
	XMLName   xml.Name `json:"-" xml:"verify_response"`
	RequestID string   `json:"request_id" xml:"request_id"`
	Status    string   `json:"status" xml:"status"`
	EventID   string   `json:"event_id" xml:"event_id"`
	Price     string   `json:"price" xml:"price"`
	Currency  string   `json:"currency" xml:"currency"`

	EstimatedPrice string `json:"estimated_price_messages_sent" xml:"estimated_price_messages_sent"`
}

// controlResponse is the response to an executed command.
type controlResponse struct {
	XMLName xml.Name `json:"-" xml:"response"`
	Status  string   `json:"status" xml:"status"`
	Command string   `json:"command" xml:"command"`
}

// errorResponse is the response to a refused request. Its root depends on the endpoint.
type errorResponse struct {
	XMLName   xml.Name `json:"-"`
	RequestID string   `json:"request_id,omitempty" xml:"request_id,omitempty"`
	Status    string   `json:"status" xml:"status"`
	ErrorText string   `json:"error_text" xml:"error_text"`
	Network   string   `json:"network,omitempty" xml:"network,omitempty"`
}

// searchErrorResponse is the response to a refused search. In XML it has an empty
// request_id. In JSON it must have none, which an SDK interprets as "not found".
type searchErrorResponse struct {
	XMLName   xml.Name `json:"-"`
	RequestID string   `json:"-" xml:"request_id"`
	Status    string   `json:"status" xml:"status"`
	ErrorText string   `json:"error_text" xml:"error_text"`
}

// searchResponse is one verification in the response to a search. Its status is a word,
// not a number.
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

// searchListResponse is the response to a search for several verifications.
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

// eventItem is one event. Status and Note are our additions; clients ignore unknown fields.
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

// MarshalXML writes the list in its element, also if it is empty: <checks/>.
func (l checkList) MarshalXML(enc *xml.Encoder, start xml.StartElement) error {
	return enc.EncodeElement(struct {
		Items []checkItem `xml:"check"`
	}{l}, start)
}

// MarshalXML writes the list in its element, also if it is empty: <events/>.
func (l eventList) MarshalXML(enc *xml.Encoder, start xml.StartElement) error {
	return enc.EncodeElement(struct {
		Items []eventItem `xml:"event"`
	}{l}, start)
}

// defaultSenderShown is the sender in search results of a verification without one; its
// messages use VERIFY (spec §3).
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

// date returns a time in UTC; "" for the zero time.
func date(t time.Time) string {
	if t.IsZero() {
		return ""
	}
	return t.UTC().Format(time.DateTime)
}

// price returns an amount with 8 decimals; "0" without a charge.
func price(m verify.Money) string {
	if m == 0 {
		return "0"
	}
	return m.String()
}
