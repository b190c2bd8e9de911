package adminapi

import (
	"bytes"
	"cmp"
	"encoding/json"
	"io"
	"maps"
	"net/http"
	"slices"
	"strings"

	"countersign/internal/account"
	"countersign/internal/phone"
	"countersign/internal/signature"
	"countersign/internal/store"
	"countersign/internal/verify"
	"countersign/internal/web"
)

func accountEndpoints() []endpoint {
	return []endpoint{
		{method: http.MethodGet, path: "/accounts", serve: (*exchange).listAccounts},
		{method: http.MethodPost, path: "/accounts", serve: (*exchange).createAccount, takes: true, created: true, action: "account.create"},
		{method: http.MethodGet, path: "/accounts/{key}", serve: (*exchange).showAccount},
		{method: http.MethodPatch, path: "/accounts/{key}", serve: (*exchange).setAccount, takes: true, action: "account.set"},
		{method: http.MethodPost, path: "/accounts/{key}/bar", serve: (*exchange).barAccount, action: "account.bar"},
		{method: http.MethodPost, path: "/accounts/{key}/unbar", serve: (*exchange).unbarAccount, action: "account.unbar"},
		{method: http.MethodPost, path: "/accounts/{key}/credit", serve: (*exchange).creditAccount, takes: true, action: "account.credit"},
		{method: http.MethodPost, path: "/accounts/{key}/rotate-secret", serve: (*exchange).rotateSecret, takes: true, action: "account.rotate-secret"},
		{method: http.MethodPost, path: "/accounts/{key}/rotate-signature", serve: (*exchange).rotateSignature, takes: true, action: "account.rotate-signature"},
		{method: http.MethodGet, path: "/accounts/{key}/secrets", serve: (*exchange).listSecrets},
		{method: http.MethodPost, path: "/accounts/{key}/secrets", serve: (*exchange).addSecret, takes: true, created: true, action: "account.secret-add"},
		{method: http.MethodDelete, path: "/accounts/{key}/secrets/{id}", serve: (*exchange).revokeSecret, action: "account.secret-revoke"},
		{method: http.MethodGet, path: "/accounts/{key}/approved-numbers", serve: (*exchange).listApproved},
		{method: http.MethodPut, path: "/accounts/{key}/approved-numbers/{number}", serve: (*exchange).approveNumber, action: "account.approve"},
		{method: http.MethodDelete, path: "/accounts/{key}/approved-numbers/{number}", serve: (*exchange).unapproveNumber, action: "account.unapprove"},
	}
}

// Account is an account without its secrets.
type Account struct {
	Key     string `json:"key"`
	Balance string `json:"balance"` // the parent's balance for a sub-account
	// BalanceLow is true in lists if the balance was found below its threshold.
	BalanceLow bool `json:"balance_low,omitempty"`
	AccountSettings
}

// AccountSettings are the settings of an account.
type AccountSettings = account.Settings

func toAccount(a verify.Account) Account {
	return Account{Key: a.Key, Balance: a.Balance.String(), AccountSettings: account.Of(a)}
}

// AccountList is the response with all accounts.
type AccountList struct {
	Accounts []Account `json:"accounts"`
}

func (c *exchange) listAccounts() (any, error) {
	accounts, err := c.cfg.Store.Accounts(c.r.Context())
	if err != nil {
		return nil, err
	}
	low, err := c.cfg.Store.Warned(c.r.Context())
	if err != nil {
		return nil, err
	}
	list := AccountList{Accounts: make([]Account, len(accounts))}
	for i, a := range accounts {
		list.Accounts[i] = toAccount(a)
		list.Accounts[i].BalanceLow = low[a.Key]
	}
	return list, nil
}

// account returns the account in the path.
func (c *exchange) account() (verify.Account, error) {
	found, err := c.cfg.Store.Credentials(c.r.Context(), c.r.PathValue("key"))
	return found.Account, err
}

// NewAccount is an account to create.
type NewAccount struct {
	AccountSettings
	Key             string   `json:"key"`    // generated if empty
	Secret          string   `json:"secret"` // generated if empty
	Credit          string   `json:"credit"`
	ApprovedNumbers []string `json:"approved_numbers"`
	SignatureMethod string   `json:"signature_method"`
}

// CreatedAccount is the response to a new account; no other response has its secrets.
type CreatedAccount struct {
	Account
	Secret          string `json:"secret"`
	SignatureMethod string `json:"signature_method,omitempty"`
	SignatureSecret string `json:"signature_secret,omitempty"`
}

func (c *exchange) createAccount() (any, error) {
	n := NewAccount{AccountSettings: AccountSettings{OnUndeliverable: verify.UndeliverableWait}}
	if err := c.read(&n); err != nil {
		return nil, err
	}
	a, err := n.account()
	if err != nil {
		return nil, err
	}
	masked := make([]string, len(a.Approved))
	for i, number := range a.Approved {
		masked[i] = phone.Mask(number)
	}
	logged := n.AccountSettings
	logged.TestNumbers = maskedTests(logged)
	ctx := c.change(a.Key, map[string]any{
		"settings": logged, "credit": a.Balance.String(), "approved_numbers": masked, "signature_method": n.SignatureMethod,
	})
	if err := c.cfg.Store.CreateAccount(ctx, a, c.now()); err != nil {
		return nil, err
	}
	return CreatedAccount{
		Account: toAccount(a.Account), Secret: a.Secret, SignatureMethod: a.SignatureMethod, SignatureSecret: a.SignatureSecret,
	}, nil
}

// account validates the request and generates the missing values.
func (n NewAccount) account() (a store.NewAccount, err error) {
	a.Key, a.Secret = cmp.Or(n.Key, store.NewAPIKey()), cmp.Or(n.Secret, store.NewAPISecret())
	if !account.ValidKey(a.Key) {
		return a, invalid("key", "%q is not 8 letters and digits", printable(a.Key))
	}
	if err := givenSecret(a.Secret); err != nil {
		return a, err
	}
	if a.Balance, err = money("credit", cmp.Or(n.Credit, "0")); err != nil {
		return a, err
	}
	if a.Balance < 0 {
		return a, invalid("credit", "must not be negative")
	}
	if err := n.Apply(&a.Account); err != nil {
		return a, err
	}
	if n.SignatureMethod != "" && !signature.Method(n.SignatureMethod).Valid() {
		return a, invalid("signature_method", "%q is unknown; use md5hash, md5, sha1, sha256 or sha512", printable(n.SignatureMethod))
	}
	for _, text := range n.ApprovedNumbers {
		approved, err := number("approved_numbers", text)
		if err != nil {
			return a, err
		}
		a.Approved = append(a.Approved, approved)
	}
	if n.SignatureMethod != "" {
		a.SignatureMethod, a.SignatureSecret = n.SignatureMethod, store.NewAPISecret()
	}
	return a, nil
}

// setAccount changes the settings in the body; others remain.
func (c *exchange) setAccount() (any, error) {
	body, err := io.ReadAll(c.r.Body)
	if err != nil {
		return nil, err
	}
	body = web.TrimBOM(body)
	var given map[string]json.RawMessage
	c.r.Body = io.NopCloser(bytes.NewReader(body))
	if err := c.read(&given); err != nil {
		return nil, err
	}
	var probe AccountSettings // unknown fields are reported before an unknown account
	c.r.Body = io.NopCloser(bytes.NewReader(body))
	if err := c.read(&probe); err != nil {
		return nil, err
	}
	if len(given) == 0 {
		return nil, &web.Problem{Status: http.StatusBadRequest, Detail: "no setting is given; openapi.yaml lists them (AccountSettings)"}
	}
	for _, name := range slices.Sorted(maps.Keys(given)) {
		if string(given[name]) == "null" {
			return nil, invalid(name, "must not be null")
		}
	}
	if given["name"] != nil && strings.TrimSpace(probe.Name) == "" {
		return nil, invalid("name", "must not be empty")
	}
	key := c.r.PathValue("key")
	if given[testNumbers] != nil {
		if given[testNumbers], err = json.Marshal(maskedTests(probe)); err != nil {
			return nil, err
		}
	}
	ctx := c.change(key, given)
	err = c.cfg.Store.UpdateAccount(ctx, key, func(a *verify.Account) error {
		s := account.Of(*a)
		if err := json.Unmarshal(body, &s); err != nil {
			return err
		}
		return s.Apply(a)
	})
	if err != nil {
		return nil, err
	}
	return c.changedAccount()
}

// testNumbers is the setting that contains phone numbers.
const testNumbers = "test_numbers"

// maskedTests returns test numbers masked for the audit log.
func maskedTests(s AccountSettings) []verify.TestNumber {
	var masked []verify.TestNumber
	for _, test := range s.TestNumbers {
		masked = append(masked, verify.TestNumber{Number: phone.Mask(test.Number), Code: "…"})
	}
	return masked
}

// changedAccount returns the current account, as the response to a change.
func (c *exchange) changedAccount() (any, error) {
	a, err := c.account()
	if err != nil {
		return nil, err
	}
	return toAccount(a), nil
}

func (c *exchange) barAccount() (any, error) { return c.setBarred(true) }

func (c *exchange) unbarAccount() (any, error) { return c.setBarred(false) }

func (c *exchange) setBarred(barred bool) (any, error) {
	key := c.r.PathValue("key")
	ctx := c.change(key, nil)
	if err := c.cfg.Store.SetBarred(ctx, key, barred); err != nil {
		return nil, err
	}
	return c.changedAccount()
}

// Credit is an amount to add to a balance; a negative amount reduces it.
type Credit struct {
	Amount string `json:"amount"`
}

func (c *exchange) creditAccount() (any, error) {
	var credit Credit
	if err := c.read(&credit); err != nil {
		return nil, err
	}
	amount, err := money("amount", credit.Amount)
	if err != nil {
		return nil, err
	}
	key := c.r.PathValue("key")
	ctx := c.change(key, map[string]string{"amount": amount.String()})
	if err := c.cfg.Store.Credit(ctx, key, amount, c.now()); err != nil {
		return nil, err
	}
	return c.changedAccount()
}
