package main

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"text/tabwriter"

	"countersign/internal/adminapi"
	"countersign/internal/atomicfile"
)

type ledgerCmd struct {
	List   ledgerListCmd   `cmd:"" help:"List the newest entries of an account."`
	Check  ledgerCheckCmd  `cmd:"" help:"Hold each balance against the sum of its entries."`
	Export ledgerExportCmd `cmd:"" help:"Write the ledger as CSV."`
}

type ledgerListCmd struct {
	adminFlag
	Account string `arg:"" help:"The api_key." param:"key"`
	Limit   int    `help:"Most entries. Default: ${default}." default:"20" placeholder:"N"`
}

// Run lists the entries.
func (c *ledgerListCmd) Run(p *process) error {
	r := adminapi.Request{
		Method: http.MethodGet, Path: adminapi.Path("accounts", c.Account, "ledger"), Query: url.Values{"limit": {strconv.Itoa(c.Limit)}},
	}
	var list adminapi.Entries
	if err := c.ask(p, r, &list); err != nil {
		return err
	}
	w := tabwriter.NewWriter(p.stdout, 0, 0, 2, ' ', 0)
	_, _ = fmt.Fprintln(w, "TIME\tKIND\tAMOUNT\tFOR\tKEY")
	for _, e := range list.Entries {
		_, _ = fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\n", isoTime(e.At), e.Kind, e.Amount, dash(e.SubAccount), e.Key)
	}
	return w.Flush()
}

type ledgerCheckCmd struct {
	adminFlag
	Account string `help:"Only that of this api_key." placeholder:"KEY"`
}

// Run checks the books.
func (c *ledgerCheckCmd) Run(p *process) error {
	r := adminapi.Request{Method: http.MethodGet, Path: "/ledger/check", Query: given(map[string]string{"account": c.Account})}
	var list adminapi.Books
	if err := c.ask(p, r, &list); err != nil {
		return err
	}
	w := tabwriter.NewWriter(p.stdout, 0, 0, 2, ' ', 0)
	_, _ = fmt.Fprintln(w, "ACCOUNT\tBALANCE\tSUM\tDIFFERENCE\tENTRIES\tCARRIED\tCARRIER COST")
	for _, b := range list.Books {
		_, _ = fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%d\t%s\t%s\n", b.Account, b.Balance, b.Sum, b.Difference, b.Entries, b.Carried, b.CarrierCost)
	}
	if err := w.Flush(); err != nil {
		return err
	}
	if list.Wrong > 0 {
		return fmt.Errorf("%d of %d balances are not the sum of their entries", list.Wrong, len(list.Books))
	}
	return nil
}

type ledgerExportCmd struct {
	adminFlag
	Account string `help:"Only the entries of this api_key." placeholder:"KEY"`
	From    moment `help:"From a time (2026-12-31T23:00:00Z, yesterday, 7d) on." placeholder:"TIME"`
	Until   moment `help:"Before a time." placeholder:"TIME"`
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
	p.printf("%d entries exported\n", out.n-1) // the first line has the names
	return nil
}

func (c *ledgerExportCmd) export(p *process, out io.Writer) error {
	r := adminapi.Request{
		Method: http.MethodGet, Path: "/ledger", Query: given(map[string]string{"account": c.Account, "from": c.From.at(p.now()), "until": c.Until.at(p.now())}),
	}
	return c.ask(p, r, out)
}

// lineCounter counts the lines that it passes on.
type lineCounter struct {
	next io.Writer
	n    int
}

// Write counts lines.
func (l *lineCounter) Write(b []byte) (int, error) {
	l.n += bytes.Count(b, []byte("\n"))
	return l.next.Write(b)
}
