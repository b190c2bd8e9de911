package verify_test

import (
	"testing"

	"countersign/internal/verify"
)

func TestValidSender(t *testing.T) {
	t.Parallel()
	for sender, want := range map[string]bool{
		"A b.-_+&9": true, "12345678901": true, "123456789012": false, "Acme ": false, "Café": false, "\xff": false,
	} {
		if got := verify.ValidSender(sender); got != want {
			t.Errorf("%q: %v, want %v", sender, got, want)
		}
	}
}

func TestPayer(t *testing.T) {
	t.Parallel()
	own, child := verify.Account{Key: "own00001"}, verify.Account{Key: "child001", Parent: "parent01"}
	if own.Payer() != "own00001" || child.Payer() != "parent01" {
		t.Errorf("%s and %s pay", own.Payer(), child.Payer())
	}
	if own.OnCredit() || !(verify.Account{Unlimited: true}).OnCredit() || !(verify.Account{PayerUnlimited: true}).OnCredit() {
		t.Error("OnCredit must be true for an unlimited account or payer")
	}
}
