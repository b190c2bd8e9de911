package main

import (
	"fmt"
	"strings"
	"testing"

	"countersign/internal/store"
)

func TestReadPrices(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name, text string
		want       []store.Price // nil for an error
		wantErr    string
	}{
		{"OK", "country,price\n*,0.1205\nUS,0.0361\n", []store.Price{{Amount: 12050000}, {Country: "US", Amount: 3610000}}, ""},
		{"NoHeader", "US,1\n*,0\n", []store.Price{{Country: "US", Amount: 1e8}, {}}, ""},
		{"Untidy", "Country, Price\n us , 1 \n\n\"*\",\"0.00000001\"", []store.Price{{Country: "US", Amount: 1e8}, {Amount: 1}}, ""},
		{"ByteOrderMark", "\ufeffcountry,price\n*,1\n", []store.Price{{Amount: 1e8}}, ""},
		{"ErrEmpty", "", nil, "all other countries"},
		{"ErrHeaderOnly", "country,price\n", nil, "all other countries"},
		{"ErrNoOthers", "US,1\n", nil, "all other countries"},
		{"ErrTwice", "*,1\nUS,1\nus,2\n", nil, "line 3: a second price for US"},
		{"ErrOthersTwice", "*,1\n*,2\n", nil, "line 2: a second price for *"},
		{"ErrHeaderLater", "*,1\ncountry,price\n", nil, `line 2: "country"`},
		{"ErrCountry", "*,1\nUSA,1\n", nil, `line 2: "USA" is not a country`},
		{"ErrNoCountry", "*,1\n,1\n", nil, "line 2"},
		{"ErrNegative", "*,-1\n", nil, `line 1: "-1" is not a price`},
		{"ErrPrice", "*,1\n\nUS,one\n", nil, `line 3: "one" is not a price`},
		{"ErrNoPrice", "*,\n", nil, "line 1"},
		{"ErrTooFine", "*,0.000000001\n", nil, "line 1"},
		{"ErrOneField", "*,1\nUS\n", nil, "line 2"},
		{"ErrThreeFields", "*,1\nUS,1,2\n", nil, "line 2"},
		{"ErrQuotes", "*,1\n\"US,1\n", nil, "line 2"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			got, err := readPrices(strings.NewReader(tt.text))
			if tt.want == nil && (err == nil || !strings.Contains(err.Error(), tt.wantErr)) {
				t.Errorf("got %v, %v; want an error with %q", got, err, tt.wantErr)
			}
			if tt.want != nil && (err != nil || fmt.Sprint(got) != fmt.Sprint(tt.want)) {
				t.Errorf("got %v, %v; want %v", got, err, tt.want)
			}
		})
	}
}

func TestPrices(t *testing.T) {
	t.Parallel()
	in := install(t)
	const seed = "country,price\n*,0.12050000\nIN,0.03610000\nUS,0.03610000\n"
	if got := in.ok("price", "show", "CONFIG"); got != seed {
		t.Errorf("the first price list is %q, want %q", got, seed)
	}
	in.fails(1, "line 2", "price", "import", in.file("bad.csv", "*,1\nx,y\n"), "CONFIG")
	if got := in.ok("price", "show", "CONFIG"); got != seed {
		t.Errorf("a list that cannot be read has left %q", got)
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
		t.Errorf("what was shown is imported as %q", got)
	}
	in.fails(2, "no/such", "price", "import", in.dir+"/no/such.csv", "CONFIG")
}
