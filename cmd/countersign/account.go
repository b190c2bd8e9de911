package main

import (
	"fmt"
	"net/http"
	"text/tabwriter"

	"countersign/internal/adminapi"
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
	adminFlag
	Name            string   `arg:"" help:"What the account is for."`
	Key             string   `help:"The api_key: 8 letters and digits; drawn if empty."`
	Secret          string   `help:"The api_secret; drawn if empty. Others can see it on the command line."`
	Credit          string   `help:"First balance, such as 100.00. Default: ${default}." default:"0" placeholder:"AMOUNT"`
	Rate            int      `help:"Requests allowed in any second; 0 for the installation's default."`
	PINCode         bool     `help:"Allow the application to choose the PIN (pin_code)." name:"pin-code"`
	Trial           bool     `help:"Allow only the numbers given with --approve."`
	Approve         []string `help:"Number that a trial account may reach; may be repeated." placeholder:"NUMBER" param:"approved_numbers"`
	OnUndeliverable string   `help:"What follows an event that a carrier refused or could not deliver: wait for the time of the next one, or next_event at once. Default: ${default}." default:"wait" enum:"wait,next_event" placeholder:"WHAT"`
	SignatureMethod string   `help:"Accept signed requests: md5hash, md5, sha1, sha256 or sha512; prints the secret." placeholder:"METHOD"`
}

// Run creates the account.
func (c *accountCreateCmd) Run(p *process) error {
	var created adminapi.CreatedAccount
	err := c.post(p, adminapi.NewAccount{
		AccountSettings: adminapi.AccountSettings{
			Name: c.Name, Trial: c.Trial, PINCode: c.PINCode, Rate: c.Rate, OnUndeliverable: verify.OnUndeliverable(c.OnUndeliverable),
		},
		Key: c.Key, Secret: c.Secret, Credit: c.Credit, ApprovedNumbers: c.Approve, SignatureMethod: c.SignatureMethod,
	}, &created, "accounts")
	if err != nil {
		return err
	}
	p.printf("api_key: %s\napi_secret: %s\n", created.Key, created.Secret)
	if created.SignatureSecret != "" {
		p.printf("signature_method: %s\nsignature_secret: %s\n", created.SignatureMethod, created.SignatureSecret)
	}
	return nil
}

type accountListCmd struct{ adminFlag }

// Run lists the accounts.
func (c *accountListCmd) Run(p *process) error {
	var list adminapi.AccountList
	if err := c.get(p, &list, "accounts"); err != nil {
		return err
	}
	w := tabwriter.NewWriter(p.stdout, 0, 0, 2, ' ', 0)
	_, _ = fmt.Fprintln(w, "KEY\tBALANCE\tSTATE\tNAME")
	for _, a := range list.Accounts {
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
	adminFlag
	Key string `arg:"" help:"The api_key."`
}

// Run replaces the secret.
func (c *accountRotateCmd) Run(p *process) error {
	var secret adminapi.NewSecret
	if err := c.post(p, nil, &secret, "accounts", c.Key, "rotate-secret"); err != nil {
		return err
	}
	p.printf("api_secret: %s\n", secret.Secret)
	return nil
}

type accountBarCmd struct {
	adminFlag
	Key string `arg:"" help:"The api_key."`
}

// Run bars the account.
func (c *accountBarCmd) Run(p *process) error { return c.post(p, nil, nil, "accounts", c.Key, "bar") }

type accountUnbarCmd struct {
	adminFlag
	Key string `arg:"" help:"The api_key."`
}

// Run lifts the bar.
func (c *accountUnbarCmd) Run(p *process) error {
	return c.post(p, nil, nil, "accounts", c.Key, "unbar")
}

type accountSetCmd struct {
	adminFlag
	Key             string `arg:"" help:"The api_key."`
	OnUndeliverable string `help:"What follows an event that a carrier refused or could not deliver: wait or next_event." required:"" enum:"wait,next_event" placeholder:"WHAT"`
}

// Run changes the settings.
func (c *accountSetCmd) Run(p *process) error {
	return c.ask(p, adminapi.Request{
		Method: http.MethodPatch, Path: adminapi.Path("accounts", c.Key), JSON: map[string]any{"on_undeliverable": c.OnUndeliverable},
	}, nil)
}

type accountCreditCmd struct {
	adminFlag
	Key    string `arg:"" help:"The api_key."`
	Amount string `arg:"" help:"Amount such as 100.00. Write -- before a negative one."`
}

// Run changes the balance.
func (c *accountCreditCmd) Run(p *process) error {
	return c.post(p, adminapi.Credit{Amount: c.Amount}, nil, "accounts", c.Key, "credit")
}
