package server

import (
	"context"
	"crypto/sha256"
	"errors"
	"slices"
	"time"

	"countersign/internal/config"
	"countersign/internal/signature"
	"countersign/internal/store"
	"countersign/internal/vault"
	"countersign/internal/verify"
)

// Fixed accounts and numbers of the demonstration. They are published, so a demonstration
// must not be reachable from other machines.
const (
	DemoSecret          = "demosecret0001"
	DemoSignatureSecret = "demosignature0001"
	DemoSignatureMethod = signature.SHA256

	DemoAccount   = "demo0001" // no restrictions
	BarredAccount = "barred01" // refused with status 8
	BrokeAccount  = "broke001" // status 9
	TrialAccount  = "trial001" // status 29, except ApprovedNumber

	ApprovedNumber    = "447700900001"
	UnroutableNumber  = "447700900006" // status 6
	BlockedNumber     = "447700900007" // status 7
	UnsupportedNumber = "447700900015" // status 15
	RefusedNumber     = "447700900040" // its SMS carrier refuses every message
)

// DemoKey returns the key of demonstration databases, so that several demonstration nodes can
// share one. It is public and protects no data.
func DemoKey() vault.Key {
	return sha256.Sum256([]byte("countersign demo: this key is published"))
}

const demoCredit = 1000 * verify.Unit

// DemoConfig returns the configuration of the demonstration: the virtual phone for all numbers
// without a fixed result.
func DemoConfig() config.Config {
	const refused = verify.SMS
	c := config.Default()
	c.OpsListen = ""
	c.Carriers = []config.Carrier{
		{Name: "phone", Type: config.CarrierVirtual},
		{Name: "refusing", Type: config.CarrierVirtual, Refuse: []verify.Channel{refused}},
	}
	c.Routes = []config.Route{
		{Carriers: []string{"phone"}},
		{Prefix: UnroutableNumber},
		{Prefix: RefusedNumber, Channel: refused, Carriers: []string{"refusing"}},
	}
	c.Fraud = c.Fraud.Shadow()
	c.Fraud.Caps = widened(c.Fraud.Caps)
	c.Networks.Unsupported = []string{UnsupportedNumber}
	return c
}

// demoCaps is the factor of the demonstration's caps to the default ones, since tests use
// few numbers.
const demoCaps = 20

func widened(c config.Caps) config.Caps {
	for _, list := range []*[]config.Cap{&c.Sends, &c.AccountSends, &c.FailedChecks, &c.AccountFailedChecks} {
		wide := slices.Clone(*list)
		for i := range wide {
			wide[i].Count *= demoCaps
		}
		*list = wide
	}
	c.Streak = 10 * c.Streak // 1000, the maximum
	return c
}

// SeedDemo creates the fixed accounts and blocks the fixed number. A repeated call only
// updates whether credit and rate are unlimited.
func SeedDemo(ctx context.Context, db *store.DB, unlimited bool, now time.Time) error {
	var everything verify.Settings
	everything.Fraud.Unblock = true
	for _, a := range []store.NewAccount{
		{Account: verify.Account{Key: DemoAccount, Name: "Demonstration", CustomPIN: true, Balance: demoCredit, Settings: everything}},
		{Account: verify.Account{Key: BarredAccount, Name: "Barred", Barred: true, Balance: demoCredit}},
		{Account: verify.Account{Key: BrokeAccount, Name: "Without credit"}},
		{Account: verify.Account{Key: TrialAccount, Name: "Trial", Trial: true, Balance: demoCredit}, Approved: []string{ApprovedNumber}},
	} {
		a.Secret, a.SignatureSecret, a.SignatureMethod = DemoSecret, DemoSignatureSecret, string(DemoSignatureMethod)
		if err := db.CreateAccount(ctx, a, now); err != nil && !errors.Is(err, store.ErrAccountExists) {
			return err
		}
	}
	for _, key := range []string{DemoAccount, TrialAccount} {
		if err := db.SetUnlimited(ctx, key, unlimited); err != nil {
			return err
		}
	}
	return db.BlockNumber(ctx, store.BlockedNumber{Number: BlockedNumber, Reason: "demonstration of status 7", CreatedAt: now})
}
