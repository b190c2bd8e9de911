package adminapi

import (
	"net/http"
	"time"

	"countersign/internal/billing"
	"countersign/internal/store"
)

func ledgerEndpoints() []endpoint {
	return []endpoint{
		{method: http.MethodGet, path: "/accounts/{key}/ledger", serve: (*exchange).listEntries, query: []string{"limit"}},
		{method: http.MethodGet, path: "/ledger", serve: (*exchange).exportLedger, query: []string{"account", "from", "until"}, slow: true},
		{method: http.MethodGet, path: "/ledger/check", serve: (*exchange).checkLedger, query: []string{"account"}, slow: true},
	}
}

// Entries is a part of the ledger of an account, newest first.
type Entries struct {
	Entries []Entry `json:"entries"`
}

// Entry is one entry of the ledger.
type Entry struct {
	Key        string `json:"key"`
	Kind       string `json:"kind"`
	Amount     string `json:"amount"`
	Account    string `json:"account"`
	SubAccount string `json:"sub_account"` // sub-account with the charge; "" if the account itself has it
	At         string `json:"at"`
}

func toEntry(e store.Entry) Entry {
	return Entry{e.Key, e.Kind, e.Amount.String(), e.Account, e.SubAccount, stamp(e.CreatedAt)}
}

func (c *exchange) listEntries() (any, error) {
	query := c.query
	most, err := limit(query, 20, 1000)
	if err != nil {
		return nil, err
	}
	key := c.r.PathValue("key")
	_, ok, err := c.cfg.Store.Book(c.r.Context(), key)
	if err == nil && !ok {
		err = store.ErrNoAccount
	}
	if err != nil {
		return nil, err
	}
	found, err := c.cfg.Store.NewestEntries(c.r.Context(), key, most)
	if err != nil {
		return nil, err
	}
	return Entries{each(found, toEntry)}, nil
}

// Books compares the balances of accounts with their entries.
type Books struct {
	Books []Book `json:"books"`
	Wrong int    `json:"wrong"` // number of balances that differ from the sum of their entries
}

// Book is the balance of an account and the sum of its entries.
type Book struct {
	Account     string `json:"account"`
	Balance     string `json:"balance"`
	Sum         string `json:"sum"`
	Difference  string `json:"difference"`
	Entries     int    `json:"entries"`
	Carried     string `json:"carried"`
	CarrierCost string `json:"carrier_cost"`
}

func (c *exchange) checkLedger() (any, error) {
	query := c.query
	books, wrong, err := billing.Books(c.r.Context(), c.cfg.Store, query.Get("account"))
	if err != nil {
		return nil, ofAccount(err)
	}
	return Books{Wrong: wrong, Books: each(books, func(b store.Book) Book {
		return Book{b.Account, b.Balance.String(), b.Sum.String(), (b.Balance - b.Sum).String(), b.Entries, b.Carried.String(), (-b.Costs).String()}
	})}, nil
}

func (c *exchange) exportLedger() (any, error) {
	query := c.query
	var (
		from, until time.Time
		err         error
	)
	if from, err = billing.ParseTime(query.Get("from")); err != nil {
		return nil, invalid("from", "%v", err)
	}
	if until, err = billing.ParseTime(query.Get("until")); err != nil {
		return nil, invalid("until", "%v", err)
	}
	if !until.IsZero() && !from.Before(until) {
		return nil, invalid("until", "must be later than the start time")
	}
	out := &exported{w: c.w}
	_, err = billing.WriteLedger(c.r.Context(), c.cfg.Store, query.Get("account"), from, until, out)
	if err != nil && out.begun {
		c.logFailure(err)
		panic(http.ErrAbortHandler) // a partial export must not look complete
	}
	return content{kind: sentCSV}, ofAccount(err)
}

// exported sends the header with the first byte; before it, an error response is possible.
type exported struct {
	w     http.ResponseWriter
	begun bool
}

// Write writes exported data.
func (e *exported) Write(b []byte) (int, error) {
	if !e.begun {
		e.begun = true
		e.w.Header().Set("Content-Type", sentCSV)
	}
	return e.w.Write(b)
}
