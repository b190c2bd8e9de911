package main

import (
	"net/http"

	"countersign/internal/adminapi"
)

type accountCmd struct {
	Create accountCreateCmd `cmd:"" help:"Create an account and print its secret, once."`
	List   accountListCmd   `cmd:"" help:"List accounts and their balances."`
	Show   accountShowCmd   `cmd:"" help:"Show an account's settings and state, without its secrets."`
	Set    accountSetCmd    `cmd:"" help:"Change an account's settings."`
	Bar    accountBarCmd    `cmd:"" help:"Bar an account from starting verifications."`
	Unbar  accountUnbarCmd  `cmd:"" help:"Let a barred account start verifications again."`
	Credit accountCreditCmd `cmd:"" help:"Add an amount to an account's balance; a negative amount reduces it."`

	Approve   accountApproveCmd   `cmd:"" help:"Approve numbers for a trial account."`
	Unapprove accountUnapproveCmd `cmd:"" help:"Revoke the approval of numbers for a trial account."`

	Rotate          accountRotateCmd    `cmd:"" name:"rotate-secret" help:"Replace all secrets of an account and print the new secret once."`
	RotateSignature accountSignatureCmd `cmd:"" name:"rotate-signature" help:"Replace an account's signature secret and print the new one once."`
	Secret          accountSecretCmd    `cmd:"" help:"Manage the secrets of an account; an account can have several."`
}

type accountCreateCmd struct {
	adminFlag
	outputFlags
	settingFlags    `group:"Settings"`
	Name            string   `arg:"" help:"Purpose of the account."`
	Key             string   `help:"The api_key: 8 letters and digits. Default: generated."`
	Secret          string   `help:"The api_secret, at least 8 characters. Default: generated. Other users can see it on the command line."`
	Credit          string   `help:"Initial balance, such as 100.00. Default: ${default}." default:"0" placeholder:"AMOUNT"`
	Approve         []string `help:"Number that a trial account may reach. Repeatable." placeholder:"NUMBER" param:"approved_numbers"`
	SignatureMethod string   `help:"Accept requests signed with md5hash, md5, sha1, sha256 or sha512, and print the signature secret." placeholder:"METHOD"`
}

// Run creates the account.
func (c *accountCreateCmd) Run(p *process) error {
	in, err := c.settings()
	if err != nil {
		return err
	}
	in["name"], in["key"], in["secret"], in["credit"] = c.Name, c.Key, c.Secret, c.Credit
	in["approved_numbers"], in["signature_method"] = c.Approve, c.SignatureMethod
	var created adminapi.CreatedAccount
	if err := c.post(p, in, &created, "accounts"); err != nil {
		return err
	}
	text, ids := "api_key: "+created.Key+"\napi_secret: "+created.Secret+"\n", []string{created.Key, created.Secret}
	if created.SignatureSecret != "" {
		text += "signature_method: " + created.SignatureMethod + "\nsignature_secret: " + created.SignatureSecret + "\n"
		ids = append(ids, created.SignatureSecret)
	}
	return record[adminapi.CreatedAccount]{document: created, text: text, ids: ids}.print(p, c.outputFlags)
}

type accountListCmd struct {
	adminFlag
	outputFlags
}

// Run lists the accounts.
func (c *accountListCmd) Run(p *process) error {
	var found adminapi.AccountList
	if err := c.get(p, &found, "accounts"); err != nil {
		return err
	}
	return list[adminapi.Account]{
		document: found, rows: found.Accounts,
		header: []string{"KEY", "BALANCE", "STATE", "NAME"},
		row:    func(a adminapi.Account) []any { return []any{a.Key, a.Balance, stateOf(a), a.Name} },
		id:     func(a adminapi.Account) string { return a.Key },
	}.print(p, c.outputFlags)
}

func stateOf(a adminapi.Account) string {
	state := "active"
	switch {
	case a.Barred:
		state = "barred"
	case a.Trial:
		state = "trial"
	}
	if a.BalanceLow {
		state += ", balance low"
	}
	return state
}

type accountShowCmd struct {
	adminFlag
	outputFlags
	Key string `arg:"" help:"The api_key."`
}

// Run shows the account.
func (c *accountShowCmd) Run(p *process) error {
	var a adminapi.AccountDetail
	if err := c.get(p, &a, "accounts", c.Key); err != nil {
		return err
	}
	return record[adminapi.AccountDetail]{document: a, ids: []string{a.Key}}.print(p, c.outputFlags)
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

type accountCreditCmd struct {
	adminFlag
	Key    string `arg:"" help:"The api_key."`
	Amount string `arg:"" help:"Amount such as 100.00. Write -- before a negative amount."`
}

// Run changes the balance.
func (c *accountCreditCmd) Run(p *process) error {
	return c.post(p, adminapi.Credit{Amount: c.Amount}, nil, "accounts", c.Key, "credit")
}

type accountApproveCmd struct {
	adminFlag
	Key     string   `arg:"" help:"The api_key."`
	Numbers []string `arg:"" name:"number" help:"Numbers in international form."`
}

// Run approves the numbers.
func (c *accountApproveCmd) Run(p *process) error {
	return c.eachNumber(p, http.MethodPut, c.Key, c.Numbers)
}

type accountUnapproveCmd struct {
	adminFlag
	Key     string   `arg:"" help:"The api_key."`
	Numbers []string `arg:"" name:"number" help:"Numbers in international form."`
}

// Run revokes the approval.
func (c *accountUnapproveCmd) Run(p *process) error {
	return c.eachNumber(p, http.MethodDelete, c.Key, c.Numbers)
}

func (f adminFlag) eachNumber(p *process, method, key string, numbers []string) error {
	for _, number := range numbers {
		if err := f.ask(p, adminapi.Request{Method: method, Path: adminapi.Path("accounts", key, "approved-numbers", number)}, nil); err != nil {
			return err
		}
	}
	return nil
}
