package adminapi_test

import (
	"net/url"
	"strings"
	"testing"

	"countersign/internal/adminapi"
)

func TestLedger(t *testing.T) {
	t.Parallel()
	o := start(t)
	o.ok("POST", "/accounts/demo0001/credit", map[string]string{"amount": "2.5"}, nil)
	var entries adminapi.Entries
	o.ok("GET", "/accounts/demo0001/ledger", nil, &entries)
	if len(entries.Entries) != 2 || entries.Entries[0].Amount != "2.50000000" && entries.Entries[1].Amount != "2.50000000" {
		t.Errorf("entries %+v", entries)
	}
	var books adminapi.Books
	must(t, o.Do(t.Context(), adminapi.Request{Method: "GET", Path: "/ledger/check", Query: url.Values{"account": {"demo0001"}}}, &books))
	if len(books.Books) != 1 || books.Wrong != 0 || books.Books[0].Balance != "1002.50000000" || books.Books[0].Difference != "0.00000000" {
		t.Errorf("books %+v", books)
	}
	var list strings.Builder
	must(t, o.Do(t.Context(), adminapi.Request{Method: "GET", Path: "/ledger", Query: url.Values{"account": {"demo0001"}, "from": {"2026-01-01"}}}, &list))
	if strings.Count(list.String(), "\n") != 3 || !strings.Contains(list.String(), "2.50000000") {
		t.Errorf("exported %s", list.String())
	}
	if p := refused(t, o.Client, adminapi.Request{Method: "GET", Path: "/ledger", Query: url.Values{"until": {"soon"}}}); p.Parameter != "until" {
		t.Errorf("until soon: %+v", p)
	}
	if p := refused(t, o.Client, get("/accounts/nobody00/ledger")); p.Status != 404 {
		t.Errorf("ledger of an unknown account: %+v", p)
	}
}
