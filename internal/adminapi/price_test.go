package adminapi_test

import (
	"net/url"
	"strings"
	"testing"

	"countersign/internal/adminapi"
	"countersign/internal/pgtest"
	"countersign/internal/servertest"
	"countersign/internal/store"
)

// behind changes the database without the server.
func (o *office) behind(query string) {
	o.t.Helper()
	db, err := pgtest.Open(o.Database)
	must(o.t, err)
	defer db.Close()
	_, err = db.ExecContext(o.t.Context(), query)
	must(o.t, err)
}

// TestPricesFail checks that a failed import or change is reported, and changes neither
// the price list nor the audit log.
func TestPricesFail(t *testing.T) {
	t.Parallel()
	o := start(t, servertest.Quiet())
	const list = "country,price\n*,0.10000000\nGB,0.05000000\n"
	must(t, o.Do(t.Context(), adminapi.Request{Method: "PUT", Path: "/prices", CSV: strings.NewReader(list)}, nil))
	if store.IsPostgres(o.Database) {
		o.behind(`CREATE FUNCTION broken() RETURNS TRIGGER AS $$ BEGIN RAISE 'the disk is on fire'; END $$ LANGUAGE plpgsql;
			CREATE TRIGGER broken BEFORE INSERT ON price_list FOR EACH ROW EXECUTE FUNCTION broken()`)
	} else {
		o.behind(`CREATE TRIGGER broken BEFORE INSERT ON price_list BEGIN SELECT RAISE(ABORT, 'the disk is on fire'); END`)
	}
	for name, request := range map[string]adminapi.Request{
		"import": {Method: "PUT", Path: "/prices", CSV: strings.NewReader("*,0.2\n")},
		"set":    {Method: "POST", Path: "/prices", JSON: map[string]string{"for": "GB", "price": "0.2"}},
	} {
		if p := refused(t, o.Client, request); p.Status != 500 || strings.Contains(p.Detail, "fire") {
			t.Errorf("%s: %+v", name, p)
		}
	}
	var got strings.Builder
	o.ok("GET", "/prices", nil, &got)
	if got.String() != list {
		t.Errorf("the price list became %q", got.String())
	}
	if log := o.log(); len(log) != 1 {
		t.Errorf("the audit log has %+v", log)
	}
}

// TestOpenEndedPrice checks that a price with a start date ends the previous open-ended price.
func TestOpenEndedPrice(t *testing.T) {
	t.Parallel()
	o := start(t)
	must(t, o.Do(t.Context(), adminapi.Request{Method: "PUT", Path: "/prices", CSV: strings.NewReader("*,0.1\nGB,0.2\n")}, nil))
	for _, p := range []adminapi.NewPrice{
		{For: "gb", Price: "0.3", From: "2026-03-01"}, {For: "*", Price: "0.4", From: "2026-03-01", Until: "2026-04-01"},
		{For: "+44", Price: "0.5", Channel: "sms"},
	} {
		o.ok("POST", "/prices", p, nil)
	}
	var got strings.Builder
	o.ok("GET", "/prices", nil, &got)
	const want = `country,prefix,channel,price,valid_from,valid_until
*,,,0.10000000,,2026-03-01
*,,,0.40000000,2026-03-01,2026-04-01
*,,,0.10000000,2026-04-01,
,44,sms,0.50000000,,
GB,,,0.20000000,,2026-03-01
GB,,,0.30000000,2026-03-01,
`
	if got.String() != want {
		t.Errorf("the price list is\n%s", got.String())
	}
}

// TestPriceRefusals checks that an invalid price is refused by its parameter, and the
// price list is unchanged.
func TestPriceRefusals(t *testing.T) {
	t.Parallel()
	o := start(t)
	var before, after strings.Builder
	o.ok("GET", "/prices", nil, &before)
	for _, tt := range []struct {
		price     adminapi.NewPrice
		parameter string
	}{
		{adminapi.NewPrice{Price: "1"}, "for"},
		{adminapi.NewPrice{For: "GB"}, "price"},
		{adminapi.NewPrice{For: "GB", Price: "one"}, "price"},
		{adminapi.NewPrice{For: "GB", Price: "-1"}, ""},
		{adminapi.NewPrice{For: "GB", Price: "1000000.00000001"}, ""},
		{adminapi.NewPrice{For: "XX", Price: "1"}, ""},
		{adminapi.NewPrice{For: "+", Price: "1"}, ""},
		{adminapi.NewPrice{For: "044", Price: "1"}, ""},
		{adminapi.NewPrice{For: "GB", Price: "1", Channel: "fax"}, ""},
		{adminapi.NewPrice{For: "GB", Price: "1", From: "soon"}, "valid_from"},
		{adminapi.NewPrice{For: "GB", Price: "1", Until: "soon"}, "valid_until"},
		{adminapi.NewPrice{For: "GB", Price: "1", From: "2026-02-02", Until: "2026-02-01"}, "valid_until"},
		{adminapi.NewPrice{For: "GB", Price: "1", Carrier: "nobody"}, "carrier"},
	} {
		if p := refused(t, o.Client, adminapi.Request{Method: "POST", Path: "/prices", JSON: tt.price}); p.Status != 400 || p.Parameter != tt.parameter {
			t.Errorf("%+v: %+v, want %q", tt.price, p, tt.parameter)
		}
	}
	p := refused(t, o.Client, adminapi.Request{Method: "PUT", Path: "/prices", Query: url.Values{"carrier": {"nobody"}}, CSV: strings.NewReader("GB,1\n")})
	if p.Status != 400 || p.Parameter != "carrier" {
		t.Errorf("the prices of a carrier that does not exist: %+v", p)
	}
	if p := refused(t, o.Client, adminapi.Request{Method: "PUT", Path: "/prices", JSON: "*,1"}); p.Status != 415 {
		t.Errorf("prices in JSON: %+v", p)
	}
	if o.ok("GET", "/prices", nil, &after); after.String() != before.String() || len(o.log()) > 0 {
		t.Errorf("refused prices changed the list to %s", after.String())
	}
}
