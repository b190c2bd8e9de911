package main

import (
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"

	"countersign/internal/pgtest"
	"countersign/internal/verify"
)

func TestPrices(t *testing.T) {
	t.Parallel()
	in := install(t)
	const seed = "country,price\n*,0.12050000\nIN,0.03610000\nUS,0.03610000\n"
	if got := in.ok("price", "show", "CONFIG"); got != seed {
		t.Errorf("the first price list is %q, want %q", got, seed)
	}
	in.fails(1, "line 2", "price", "import", in.file("bad.csv", "*,1\nx,y\n"), "CONFIG")
	if got := in.ok("price", "show", "CONFIG"); got != seed {
		t.Errorf("after an invalid list the prices are %q", got)
	}
	if got := in.ok("price", "import", in.file("new.csv", "GB,2.5\n*,1\n"), "CONFIG"); got != "2 prices imported\n" {
		t.Errorf("import prints %q", got)
	}
	shown := in.ok("price", "show", "CONFIG")
	if want := "country,price\n*,1.00000000\nGB,2.50000000\n"; shown != want {
		t.Errorf("the list is %q, want %q", shown, want)
	}
	in.ok("price", "import", in.file("shown.csv", shown), "CONFIG")
	if got := in.ok("price", "show", "CONFIG"); got != shown {
		t.Errorf("the exported list is imported as %q", got)
	}
	in.fails(2, "no/such", "price", "import", in.dir+"/no/such.csv", "CONFIG")
}

// TestPriceChannels checks that a price can be set for each priced channel, or for all.
func TestPriceChannels(t *testing.T) {
	t.Parallel()
	want := []string{""}
	for _, c := range verify.ChannelsWith(func(c verify.ChannelInfo) bool { return c.Priced }) {
		want = append(want, string(c))
	}
	field, ok := reflect.TypeFor[priceSetCmd]().FieldByName("Channel")
	if got := strings.Split(field.Tag.Get("enum"), ","); !ok || !slices.Equal(got, want) {
		t.Errorf("--channel accepts %q, want %q", got, want)
	}
}

// TestPriceImportFails checks that a failed import returns an error and keeps the price list.
func TestPriceImportFails(t *testing.T) {
	t.Parallel()
	in := install(t)
	shown := in.ok("price", "show", "CONFIG")
	db, err := pgtest.Open(filepath.Join(in.dir, "data", "countersign.db"))
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	const broken = `CREATE TRIGGER broken BEFORE INSERT ON price_list BEGIN SELECT RAISE(ABORT, 'the disk is on fire'); END`
	if _, err := db.ExecContext(t.Context(), broken); err != nil {
		t.Fatal(err)
	}
	in.fails(1, "the disk is on fire", "price", "import", in.file("new.csv", "*,1\n"), "CONFIG")
	in.fails(1, "the disk is on fire", "price", "set", "GB", "1", "CONFIG")
	if got := in.ok("price", "show", "CONFIG"); got != shown {
		t.Errorf("after a failed import the prices are %q", got)
	}
}
