package main

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"

	"countersign/internal/adminapi"
	"countersign/internal/atomicfile"
)

type ledgerCmd struct {
	List   ledgerListCmd   `cmd:"" help:"List the newest entries of an account."`
	Check  ledgerCheckCmd  `cmd:"" help:"Verify that each balance equals the sum of its ledger entries."`
	Export ledgerExportCmd `cmd:"" help:"Write the ledger as CSV."`
}

type ledgerListCmd struct {
	adminFlag
	outputFlags
	Account string `arg:"" help:"The api_key." param:"key"`
	Limit   int    `help:"Maximum number of entries. Default: ${default}." default:"20" placeholder:"N"`
}

// Run lists the entries.
func (c *ledgerListCmd) Run(p *process) error {
	r := adminapi.Request{
		Method: http.MethodGet, Path: adminapi.Path("accounts", c.Account, "ledger"), Query: url.Values{"limit": {strconv.Itoa(c.Limit)}},
	}
	var found adminapi.Entries
	if err := c.ask(p, r, &found); err != nil {
		return err
	}
	return list[adminapi.Entry]{
		document: found, rows: found.Entries,
		header: []string{"TIME", "KIND", "AMOUNT", "FOR", "KEY"},
		row: func(e adminapi.Entry) []any {
			return []any{isoTime(e.At), e.Kind, e.Amount, dash(e.SubAccount), e.Key}
		},
		id: func(e adminapi.Entry) string { return e.Key },
	}.print(p, c.outputFlags)
}

type ledgerCheckCmd struct {
	adminFlag
	outputFlags
	Account string `help:"Only the balance of this api_key." placeholder:"KEY"`
}

// Run checks the books.
func (c *ledgerCheckCmd) Run(p *process) error {
	r := adminapi.Request{Method: http.MethodGet, Path: "/ledger/check", Query: given(map[string]string{"account": c.Account})}
	var found adminapi.Books
	if err := c.ask(p, r, &found); err != nil {
		return err
	}
	err := list[adminapi.Book]{
		document: found, rows: found.Books,
		header: []string{"ACCOUNT", "BALANCE", "SUM", "DIFFERENCE", "ENTRIES", "CARRIED", "CARRIER COST"},
		row: func(b adminapi.Book) []any {
			return []any{b.Account, b.Balance, b.Sum, b.Difference, b.Entries, b.Carried, b.CarrierCost}
		},
	}.print(p, c.outputFlags)
	if err == nil && found.Wrong > 0 {
		err = fmt.Errorf("%d of %d balances differ from the sum of their entries", found.Wrong, len(found.Books))
	}
	return err
}

type ledgerExportCmd struct {
	adminFlag
	Account string `help:"Only entries of this api_key." placeholder:"KEY"`
	From    moment `help:"Only entries at or after this time (2026-12-31T23:00:00Z, yesterday, 7d)." placeholder:"TIME"`
	Until   moment `help:"Only entries before this time." placeholder:"TIME"`
	Out     string `help:"File to write; must not exist. Default: standard output." type:"path" placeholder:"FILE"`
}

// Run writes the ledger.
func (c *ledgerExportCmd) Run(p *process) error {
	if c.Out == "" || c.Out == "-" {
		return c.export(p, &lineCounter{next: p.stdout})
	}
	f, err := atomicfile.Create(c.Out, 0o600)
	if err != nil {
		return fmt.Errorf("--out: %w", err)
	}
	out := &lineCounter{next: f}
	if err = c.export(p, out); err == nil {
		err = f.Commit()
	}
	if err := errors.Join(err, f.Close()); err != nil {
		return err
	}
	p.printf("%d entries exported\n", out.n-1) // minus the header
	return nil
}

func (c *ledgerExportCmd) export(p *process, out io.Writer) error {
	r := adminapi.Request{
		Method: http.MethodGet, Path: "/ledger", Query: given(map[string]string{"account": c.Account, "from": c.From.at(p.now()), "until": c.Until.at(p.now())}),
	}
	return c.ask(p, r, out)
}

// lineCounter counts the lines written through it.
type lineCounter struct {
	next io.Writer
	n    int
}

// Write counts lines.
func (l *lineCounter) Write(b []byte) (int, error) {
	l.n += bytes.Count(b, []byte("\n"))
	return l.next.Write(b)
}
