package main

import (
	"errors"
	"fmt"
	"regexp"
	"strings"
	"text/tabwriter"
	"time"
	"unicode"

	"countersign/internal/phone"
	"countersign/internal/signature"
	"countersign/internal/store"
	"countersign/internal/verify"
)

type accountCmd struct {
	Create accountCreateCmd `cmd:"" help:"Create an account and print its secret, once."`
	List   accountListCmd   `cmd:"" help:"List accounts and their balances."`
	Rotate accountRotateCmd `cmd:"" name:"rotate-secret" help:"Replace an account's secret and print the new one, once."`
	Bar    accountBarCmd    `cmd:"" help:"Bar an account from starting verifications."`
	Unbar  accountUnbarCmd  `cmd:"" help:"Let a barred account start verifications again."`
	Set    accountSetCmd    `cmd:"" help:"Change an account's settings."`
	Credit accountCreditCmd `cmd:"" help:"Add an amount to an account's balance; a negative one takes it away."`
}

type accountCreateCmd struct {
	configFlag
	Name            string   `arg:"" help:"What the account is for."`
	Key             string   `help:"The api_key: 8 letters and digits; drawn if empty."`
	Secret          string   `help:"The api_secret; drawn if empty. Others can see it on the command line."`
	Credit          string   `help:"First balance, such as 100.00. Default: ${default}." default:"0" placeholder:"AMOUNT"`
	Rate            int      `help:"Requests allowed in any second; 0 for the installation's default."`
	PINCode         bool     `help:"Allow the application to choose the PIN (pin_code)." name:"pin-code"`
	Trial           bool     `help:"Allow only the numbers given with --approve."`
	Approve         []string `help:"Number that a trial account may reach; may be repeated." placeholder:"NUMBER"`
	OnUndeliverable string   `help:"What follows an event that a carrier refused or could not deliver: wait for the time of the next one, or next_event at once. Default: ${default}." default:"wait" enum:"wait,next_event" placeholder:"WHAT"`
	SignatureMethod string   `help:"Accept signed requests: md5hash, md5, sha1, sha256 or sha512; prints the secret." placeholder:"METHOD"`
}

// Run creates the account.
func (c *accountCreateCmd) Run(p *process) error {
	credit, err := verify.ParseMoney(c.Credit)
	if err != nil {
		return fmt.Errorf("--credit: %w", err)
	}
	if credit < 0 {
		return errors.New("--credit must not be negative")
	}
	if strings.ContainsFunc(c.Name, unicode.IsControl) {
		return errors.New("the name must be one line of text")
	}
	if c.Key == "" {
		c.Key = store.NewAPIKey()
	}
	if !regexp.MustCompile(`^[0-9A-Za-z]{8}$`).MatchString(c.Key) {
		return fmt.Errorf("--key: %q is not 8 letters and digits", c.Key)
	}
	if c.Secret == "" {
		c.Secret = store.NewAPISecret()
	}
	if c.Rate < 0 {
		return errors.New("--rate must not be negative")
	}
	a := store.NewAccount{
		Account: verify.Account{
			Key: c.Key, Name: c.Name, Trial: c.Trial, CustomPIN: c.PINCode, Rate: c.Rate, Balance: credit,
			OnUndeliverable: verify.OnUndeliverable(c.OnUndeliverable),
		},
		Secret: c.Secret,
	}
	for _, number := range c.Approve {
		n, err := phone.Parse(number, "")
		if err != nil {
			return fmt.Errorf("--approve %s: %w", number, err)
		}
		a.Approved = append(a.Approved, n.Digits)
	}
	if c.SignatureMethod != "" {
		if !signature.Method(c.SignatureMethod).Valid() {
			return fmt.Errorf("--signature-method: %q is not known", c.SignatureMethod)
		}
		a.SignatureMethod, a.SignatureSecret = c.SignatureMethod, store.NewAPISecret()
	}
	db, err := c.open(p)
	if err != nil {
		return err
	}
	if err := errors.Join(db.CreateAccount(p.ctx, a, p.now()), db.Close()); err != nil {
		return err
	}
	p.printf("api_key: %s\napi_secret: %s\n", a.Key, a.Secret)
	if a.SignatureSecret != "" {
		p.printf("signature_method: %s\nsignature_secret: %s\n", a.SignatureMethod, a.SignatureSecret)
	}
	return nil
}

type accountListCmd struct{ configFlag }

// Run lists the accounts.
func (c *accountListCmd) Run(p *process) error {
	db, err := c.open(p)
	if err != nil {
		return err
	}
	accounts, err := db.Accounts(p.ctx)
	if err := errors.Join(err, db.Close()); err != nil {
		return err
	}
	w := tabwriter.NewWriter(p.stdout, 0, 0, 2, ' ', 0)
	_, _ = fmt.Fprintln(w, "KEY\tBALANCE\tSTATE\tNAME")
	for _, a := range accounts {
		state := "active"
		switch {
		case a.Barred:
			state = "barred"
		case a.Trial:
			state = "trial"
		}
		_, _ = fmt.Fprintf(w, "%s\t%s\t%s\t%s\n", a.Key, a.Balance, state, a.Name)
	}
	return w.Flush()
}

type accountRotateCmd struct {
	configFlag
	Key string `arg:"" help:"The api_key."`
}

// Run replaces the secret.
func (c *accountRotateCmd) Run(p *process) error {
	secret := store.NewAPISecret()
	if err := c.change(p, func(db *store.DB) error { return db.RotateSecret(p.ctx, c.Key, secret, time.Time{}, p.now()) }); err != nil {
		return err
	}
	p.printf("api_secret: %s\n", secret)
	return nil
}

type accountBarCmd struct {
	configFlag
	Key string `arg:"" help:"The api_key."`
}

// Run bars the account.
func (c *accountBarCmd) Run(p *process) error {
	return c.change(p, func(db *store.DB) error { return db.SetBarred(p.ctx, c.Key, true) })
}

type accountUnbarCmd struct {
	configFlag
	Key string `arg:"" help:"The api_key."`
}

// Run lifts the bar.
func (c *accountUnbarCmd) Run(p *process) error {
	return c.change(p, func(db *store.DB) error { return db.SetBarred(p.ctx, c.Key, false) })
}

type accountSetCmd struct {
	configFlag
	Key             string `arg:"" help:"The api_key."`
	OnUndeliverable string `help:"What follows an event that a carrier refused or could not deliver: wait or next_event." required:"" enum:"wait,next_event" placeholder:"WHAT"`
}

// Run changes the settings.
func (c *accountSetCmd) Run(p *process) error {
	return c.change(p, func(db *store.DB) error {
		return db.SetOnUndeliverable(p.ctx, c.Key, verify.OnUndeliverable(c.OnUndeliverable))
	})
}

type accountCreditCmd struct {
	configFlag
	Key    string `arg:"" help:"The api_key."`
	Amount string `arg:"" help:"Amount such as 100.00. Write -- before a negative one."`
}

// Run changes the balance.
func (c *accountCreditCmd) Run(p *process) error {
	amount, err := verify.ParseMoney(c.Amount)
	if err != nil {
		return err
	}
	return c.change(p, func(db *store.DB) error { return db.Credit(p.ctx, c.Key, amount, p.now()) })
}

// change opens the database for one change.
func (f configFlag) change(p *process, do func(*store.DB) error) error {
	db, err := f.open(p)
	if err != nil {
		return err
	}
	return errors.Join(do(db), db.Close())
}
