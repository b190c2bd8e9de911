package store_test

import (
	"context"
	"crypto/rand"
	"testing"
	"time"

	"countersign/internal/deliver/virtual"
	"countersign/internal/fraud"
	"countersign/internal/inbox"
	"countersign/internal/store"
	"countersign/internal/vault"
	"countersign/internal/verify"
)

// operations lists the operations of the store, by name, on an installation of live.
func (in *lived) operations(t *testing.T, db *store.DB) map[string]operation {
	t.Helper()
	templates, err := db.Templates(t.Context(), "demo0001", "")
	must(t, err)
	template := templates[0].ID
	type ctx = context.Context
	const account, number = "demo0001", "447700900000"
	held, running := in.held, in.running
	begun, _, err := verify.Begin(verify.Beginning{
		Request: request(account, "447700900077"), History: verify.Uncapped{}, Node: "node-1",
	}, t0, rand.Reader)
	must(t, err)
	charged := begun // also with an entry of the ledger and a message id
	charged.Entries = []verify.Entry{{Key: "charge/77", Kind: verify.ChargeEntry, Amount: -1, At: t0, Spent: 1, SpentAt: t0}}
	charged.Refs = []verify.Ref{{Carrier: "a", ID: "77"}}
	hold := verify.Change{Verification: held, Entries: []verify.Entry{{Kind: verify.HoldEntry, At: t0, Spent: 1, SpentAt: t0}}}
	cost := verify.Change{Verification: held, Entries: []verify.Entry{{Key: "cost/77", Kind: verify.CostEntry, Amount: -1, At: t0}}}
	ref := verify.Ref{Carrier: "a", ID: "ref-1"}
	later := at(1e7)
	change := func(*verify.Account) error { return nil }
	return map[string]operation{
		"AbortKeyFile": {"key_files", func(c ctx, db *store.DB) error { return db.Vault().AbortKeyFile(c, t0, true) }},
		"Accounts":     {"accounts", func(c ctx, db *store.DB) error { return fails(db.Accounts(c)) }},
		"AddAudit":     {"audit", func(c ctx, db *store.DB) error { return db.AddAudit(c, entry("a", "b", t0)) }},
		"AddKeyFile":   {"key_files", func(c ctx, db *store.DB) error { return db.Vault().AddKeyFile(c, vault.NewKey(), t0) }},
		"AddMessage": {"phone_messages", func(c ctx, db *store.DB) error {
			return inbox.New(db).AddMessage(c, virtual.Message{Number: number, Channel: verify.SMS, SentAt: t0})
		}},
		"AddSecret": {"account_secrets accounts settings", func(c ctx, db *store.DB) error { return fails(db.AddSecret(c, account, "another", time.Time{}, t0)) }},
		"AddTemplate": {"accounts recordings settings templates", func(c ctx, db *store.DB) error {
			return fails(db.AddTemplate(c, newTemplate("Code: ${pin}"), []store.Recording{{ID: verify.ID{8}, Sound: []byte{1}}}, true))
		}},
		"Approve":         {"accounts approved_numbers", func(c ctx, db *store.DB) error { return db.Approve(c, "trial001", "447700900001", t0) }},
		"ApproveTemplate": {"accounts settings templates", func(c ctx, db *store.DB) error { return fails(db.ApproveTemplate(c, template, t0)) }},
		"Approved":        {"approved_numbers", func(c ctx, db *store.DB) error { return fails(db.Approved(c, "trial001", number)) }},
		"ApprovedNumbers": {"approved_numbers", func(c ctx, db *store.DB) error { return fails(db.ApprovedNumbers(c, "trial001")) }},
		"Archive":         {"archive message_ids verifications", func(c ctx, db *store.DB) error { return fails(db.Archive(c, store.Cutoffs{Codes: later}, 10)) }},
		"AuditLog":        {"audit", func(c ctx, db *store.DB) error { return fails(db.AuditLog(c, store.AuditFilter{Limit: 10})) }},
		"Backlog":         {"receipts verifications", func(c ctx, db *store.DB) error { return fails(db.Backlog(c, t0, t0)) }},
		"BlockNumber": {"blocked_numbers settings", func(c ctx, db *store.DB) error {
			return db.BlockNumber(c, store.BlockedNumber{Number: number, CreatedAt: t0})
		}},
		"BlockedNumber":  {"blocked_numbers", func(c ctx, db *store.DB) error { return fails3(db.BlockedNumber(c, number)) }},
		"BlockedNumbers": {"blocked_numbers", func(c ctx, db *store.DB) error { return fails(db.BlockedNumbers(c)) }},
		"Book":           {"accounts ledger ledger_past", func(c ctx, db *store.DB) error { return fails3(db.Book(c, account)) }},
		"CarryLedger":    {"accounts ledger_past", func(c ctx, db *store.DB) error { return fails(db.CarryLedger(c, later, 10)) }},
		"ChangePrices": {"price_list settings", func(c ctx, db *store.DB) error {
			return db.ChangePrices(c, "", func([]verify.Price) ([]verify.Price, error) { return []verify.Price{{Amount: 9}}, nil })
		}},
		"ChangeRetentionState": {"settings", func(c ctx, db *store.DB) error {
			return db.ChangeRetentionState(c, func(s store.RetentionState) (store.RetentionState, error) { s.LastRun = at(7); return s, nil })
		}},
		"ResetNumberHistory": {"guards", func(c ctx, db *store.DB) error { return fails(db.ResetNumberHistory(c, number, twenty(), t0)) }},
		"ConfirmRetention":   {"settings", func(c ctx, db *store.DB) error { return db.ConfirmRetention(c, t0) }},
		"CreateAccount": {"account_secrets accounts approved_numbers ledger", func(c ctx, db *store.DB) error {
			return db.CreateAccount(c, store.NewAccount{
				Account: verify.Account{Key: "fresh001", Balance: 1, Parent: account}, Secret: "secret",
				SignatureMethod: "sha256", SignatureSecret: "secret", Approved: []string{number},
			}, t0)
		}},
		"Credentials":  {"account_secrets accounts", func(c ctx, db *store.DB) error { return fails(db.Credentials(c, account)) }},
		"Credit":       {"accounts ledger", func(c ctx, db *store.DB) error { return db.Credit(c, account, 5, t0) }},
		"PurgeArchive": {"archive", func(c ctx, db *store.DB) error { return fails(db.PurgeArchive(c, later, 10)) }},
		"Entries": {"ledger ledger_past", func(c ctx, db *store.DB) error {
			return fails(db.Entries(c, store.EntryFilter{Account: account, Limit: 10}))
		}},
		"EntriesOf":           {"accounts ledger ledger_past", func(c ctx, db *store.DB) error { return fails(db.EntriesOf(c, running)) }},
		"Verification":        {"verifications", func(c ctx, db *store.DB) error { return fails3(db.Verification(c, running.ID)) }},
		"VerificationUnknown": {"archive verifications", func(c ctx, db *store.DB) error { return fails3(db.Verification(c, verify.ID{1})) }},
		"FindVerifications": {"archive verifications", func(c ctx, db *store.DB) error {
			return fails(db.FindVerifications(c, store.VerificationFilter{Number: number, Limit: 10}))
		}},
		"FinishKeyFile": {"key_files", func(c ctx, db *store.DB) error { return db.Vault().FinishKeyFile(c, t0, true) }},
		"ForgetAudit":   {"audit", func(c ctx, db *store.DB) error { return fails(db.ForgetAudit(c, later, 10)) }},
		"ForgetFraud":   {"fraud_blocks fraud_hours fraud_log fraud_nodes fraud_unblocks", func(c ctx, db *store.DB) error { return db.ForgetFraud(c, later, later, later) }},
		"PruneNumberHistories": {"guards", func(c ctx, db *store.DB) error {
			return fails3(db.PruneNumberHistories(c, new(store.NumberHistoryWalk), later, 10))
		}},
		"ForgetMessages": {"phone_messages", func(c ctx, db *store.DB) error { return fails(db.ForgetMessages(c, later, later, 10)) }},
		"ForgetNumber": {"approved_numbers archive blocked_numbers guards phone_messages refusals verifications", func(c ctx, db *store.DB) error {
			return fails(db.ForgetNumber(c, store.Forget{Number: "447700900003"}, later))
		}},
		"ForgetReceipts":   {"receipts", func(c ctx, db *store.DB) error { return db.ForgetReceipts(c, later) }},
		"ForgetRefusals":   {"refusals", func(c ctx, db *store.DB) error { return fails(db.ForgetRefusals(c, later, 10)) }},
		"ForgetSecrets":    {"account_secrets accounts", func(c ctx, db *store.DB) error { return db.ForgetSecrets(c, later) }},
		"ForgetSignatures": {"used_signatures", func(c ctx, db *store.DB) error { return fails(db.ForgetSignatures(c, later, 10)) }},
		"FraudBlock":       {"fraud_blocks", func(c ctx, db *store.DB) error { return fails(db.FraudBlock(c, "a")) }},
		"FraudBlocks":      {"fraud_blocks", func(c ctx, db *store.DB) error { return fails(db.FraudBlocks(c, true, t0, 10)) }},
		"FraudBlocksHeld":  {"fraud_blocks", func(c ctx, db *store.DB) error { return fails(db.FraudBlocksHeld(c, t0)) }},
		"FraudBlocksSince": {"fraud_blocks", func(c ctx, db *store.DB) error { return fails(db.FraudBlocksSince(c, t0)) }},
		"FraudEntries":     {"fraud_log", func(c ctx, db *store.DB) error { return fails3(db.FraudEntries(c, "node-1", 0, t0, 10)) }},
		"FraudHalfDays":    {"fraud_hours", func(c ctx, db *store.DB) error { return fails(db.FraudHalfDays(c, account, "GB", t0, later)) }},
		"FraudNodes":       {"fraud_nodes", func(c ctx, db *store.DB) error { return fails(db.FraudNodes(c)) }},
		"FraudSpend":       {"fraud_hours", func(c ctx, db *store.DB) error { return fails(db.FraudSpend(c, t0, 3)) }},
		"FraudUnblocks":    {"fraud_unblocks", func(c ctx, db *store.DB) error { return fails(db.FraudUnblocksSince(c, t0)) }},
		"FraudVolumes":     {"fraud_hours", func(c ctx, db *store.DB) error { return fails(db.FraudVolumes(c, t0, later, 1)) }},
		"NumberHistory":    {"guards", func(c ctx, db *store.DB) error { return fails(db.NumberHistory(c, number)) }},
		"HastenFuture":     {"verifications", func(c ctx, db *store.DB) error { return fails(db.HastenFuture(c, t0.AddDate(-1, 0, 0), 10)) }},
		"KeyTimes":         {"key_files", func(c ctx, db *store.DB) error { return fails(db.Vault().Times(c)) }},
		"Keys":             {"data_keys key_files", func(c ctx, db *store.DB) error { return fails(db.Vault().Status()) }},
		"LedgerSum":        {"ledger ledger_past", func(c ctx, db *store.DB) error { return fails3(db.LedgerSum(c, account)) }},
		"LiftFraudBlock":   {"fraud_blocks", func(c ctx, db *store.DB) error { return db.LiftFraudBlock(c, "a", "me", t0) }},
		"Message":          {"phone_messages", func(c ctx, db *store.DB) error { return fails3(inbox.New(db).Message(c, verify.ID{1})) }},
		"MessageSettings":  {"accounts", func(c ctx, db *store.DB) error { return fails(db.MessageSettings(c)) }},
		"Messages":         {"phone_messages", func(c ctx, db *store.DB) error { return fails(inbox.New(db).Messages(c, number, 10)) }},
		"MessagesOfAll":    {"phone_messages", func(c ctx, db *store.DB) error { return fails(inbox.New(db).Messages(c, "", 10)) }},
		"NewDataKeys":      {"data_keys key_files", func(c ctx, db *store.DB) error { return db.Vault().NewDataKeys(c, t0) }},
		"NewestEntries":    {"ledger ledger_past", func(c ctx, db *store.DB) error { return fails(db.NewestEntries(c, account, 100)) }},
		"NewestStored":     {"archive audit data_keys fraud_log verifications", func(c ctx, db *store.DB) error { return fails(db.NewestStored(c)) }},
		"NextDue":          {"verifications", func(c ctx, db *store.DB) error { return fails3(db.NextDue(c)) }},
		"OldestEnded":      {"verifications", func(c ctx, db *store.DB) error { return fails3(db.OldestEnded(c)) }},
		"Ping":             {"account_secrets accounts approved_numbers blocked_numbers guards ledger message_ids price_list receipts settings templates used_signatures verifications", func(c ctx, db *store.DB) error { return db.Ping(c) }},
		"Prices":           {"price_list", func(c ctx, db *store.DB) error { return fails(db.Prices(c)) }},
		"Recording":        {"recordings", func(c ctx, db *store.DB) error { return fails(db.Recording(c, verify.ID{7})) }},
		"Redact":           {"archive", func(c ctx, db *store.DB) error { return fails(db.Redact(c, later, 10)) }},
		"RedactRefusals":   {"refusals", func(c ctx, db *store.DB) error { return fails(db.RedactRefusals(c, later, 10)) }},
		"RefreshKeys":      {"data_keys key_files", func(c ctx, db *store.DB) error { return db.Vault().Refresh(c, later) }},
		"Refusals":         {"refusals", func(c ctx, db *store.DB) error { return fails(db.Refusals(c, store.RefusalFilter{Limit: 10})) }},
		"ReplacePrices":    {"price_list settings", func(c ctx, db *store.DB) error { return db.ReplacePrices(c, "a", []verify.Price{{Amount: 8}}) }},
		"RetentionState":   {"settings", func(c ctx, db *store.DB) error { return fails(db.RetentionState(c)) }},
		"RetireTemplate":   {"accounts settings templates", func(c ctx, db *store.DB) error { return fails(db.RetireTemplate(c, template)) }},
		"RevokeSecret":     {"account_secrets accounts", func(c ctx, db *store.DB) error { return db.RevokeSecret(c, account, "unknown") }},
		"RollBackTemplate": {"accounts templates", func(c ctx, db *store.DB) error { return fails(db.RollBackTemplate(c, template, t0)) }},
		"RotateSecret":     {"account_secrets accounts settings", func(c ctx, db *store.DB) error { return db.RotateSecret(c, account, "next", later, t0) }},
		"SaveRefusals": {"refusals", func(c ctx, db *store.DB) error {
			return db.SaveRefusals(c, []verify.Refusal{refused(3, account, number, 3)}, nil)
		}},
		"SaveKnownRefusals": {"refusals", func(c ctx, db *store.DB) error {
			return db.SaveRefusals(c, nil, []verify.Refusal{refused(1, account, number, 9)})
		}},
		"Secrets":       {"account_secrets accounts", func(c ctx, db *store.DB) error { return fails(db.Secrets(c, account, t0)) }},
		"SetBarred":     {"accounts settings", func(c ctx, db *store.DB) error { return db.SetBarred(c, account, true) }},
		"SetSignature":  {"accounts settings", func(c ctx, db *store.DB) error { return db.SetSignature(c, account, "sha256", "next", later, t0) }},
		"SetUnlimited":  {"accounts settings", func(c ctx, db *store.DB) error { return db.SetUnlimited(c, account, true) }},
		"SetWarned":     {"accounts", func(c ctx, db *store.DB) error { return fails(db.SetWarned(c, account, true, t0)) }},
		"SettleLedger":  {"accounts ledger", func(c ctx, db *store.DB) error { return fails(db.SettleLedger(c, later, 10)) }},
		"SignatureUsed": {"used_signatures", func(c ctx, db *store.DB) error { return fails(db.SignatureUsed(c, account, []byte("signature"))) }},
		"Spent":         {"accounts", func(c ctx, db *store.DB) error { return fails(db.Spent(c, "trial001", t0)) }},
		"TellFraud": {"fraud_blocks fraud_hours fraud_log fraud_nodes", func(c ctx, db *store.DB) error {
			return db.TellFraud(c, store.FraudNews{Node: "node-2", Seq: 1, At: t0,
				Entries: []fraud.Entry{counted(0, "4477009", fraud.Counts{Starts: 2})}, Blocks: []fraud.Block{block("c", account, 1, later)}})
		}},
		"Template":  {"templates", func(c ctx, db *store.DB) error { return fails(db.Template(c, template)) }},
		"Templates": {"templates", func(c ctx, db *store.DB) error { return fails(db.Templates(c, account, "")) }},
		"Unapprove": {"accounts approved_numbers", func(c ctx, db *store.DB) error { return db.Unapprove(c, "trial001", number) }},
		"Unblock":   {"blocked_numbers settings", func(c ctx, db *store.DB) error { return fails(db.UnblockNumber(c, "447700900066")) }},
		"UnblockNet": {"fraud_blocks fraud_unblocks", func(c ctx, db *store.DB) error {
			return fails(db.UnblockNetwork(c, fraud.Unblock{Account: account, Network: "23410", Until: later}, "me", t0))
		}},
		"Update":       {"accounts settings", func(c ctx, db *store.DB) error { return db.UpdateAccount(c, account, change) }},
		"UseSignature": {"used_signatures", func(c ctx, db *store.DB) error { return db.UseSignature(c, account, []byte("another"), later) }},
		"Warned":       {"accounts", func(c ctx, db *store.DB) error { return fails(db.Warned(c)) }},

		"Tx.Due":                 {"verifications", inTx(func(tx *store.Tx) error { return fails3(tx.Due(later, 10)) })},
		"Tx.ForgetNumberHistory": {"guards", inTx(func(tx *store.Tx) error { return fails(tx.ForgetNumberHistory(number)) })},
		"Tx.FreeVerification":    {"verifications", inTx(func(tx *store.Tx) error { return fails3(tx.FreeVerification(held.ID)) })},
		"Tx.Funds":               {"accounts", inTx(func(tx *store.Tx) error { return fails(tx.Funds(account, account, false)) })},
		"Tx.KeepReceipt": {"receipts", inTx(func(tx *store.Tx) error {
			return tx.KeepReceipt(verify.Receipt{Ref: verify.Ref{Carrier: "a", ID: "9"}}, t0)
		})},
		"Tx.LiftBlock":     {"fraud_blocks", inTx(func(tx *store.Tx) error { return tx.LiftFraudBlock("a", "me", t0) })},
		"Tx.NumberHistory": {"guards", inTx(func(tx *store.Tx) error { return fails(tx.NumberHistory(number)) })},
		"Tx.Postpone":      {"verifications", inTx(func(tx *store.Tx) error { return tx.Postpone(held.ID, later) })},
		"Tx.Renew":         {"verifications", inTx(func(tx *store.Tx) error { return tx.Renew(held.ID, held.Lease.Token, later) })},
		"Tx.Running":       {"verifications", inTx(func(tx *store.Tx) error { return fails3(tx.Running(account, verify.PhoneAddress(number, ""))) })},
		"Tx.RunningOf":     {"verifications", inTx(func(tx *store.Tx) error { return fails(tx.RunningOf(number)) })},
		"Tx.Save":          {"verifications", inTx(func(tx *store.Tx) error { return tx.Save(verify.Change{Verification: held}) })},
		"Tx.SaveCost":      {"ledger verifications", inTx(func(tx *store.Tx) error { return tx.Save(cost) })},
		"Tx.SaveHold":      {"accounts verifications", inTx(func(tx *store.Tx) error { return tx.Save(hold) })},
		"Tx.SaveNew":       {"accounts ledger message_ids verifications", inTx(func(tx *store.Tx) error { return tx.Save(charged) })},
		"Tx.SaveNumberHistory": {"guards", inTx(func(tx *store.Tx) error {
			g, err := tx.NumberHistory("447700900123")
			if err != nil {
				return err
			}
			g.Number = twenty().Sent(g.Number, account, t0)
			return tx.SaveNumberHistory(g, t0)
		})},
		"Tx.TakeReceipt":    {"receipts", inTx(func(tx *store.Tx) error { return fails3(tx.TakeReceipt(verify.Ref{Carrier: "a", ID: "early"}, t0)) })},
		"Tx.TopUp":          {"accounts ledger", inTx(func(tx *store.Tx) error { return tx.TopUp(account, 3, t0) })},
		"Tx.Undelivered":    {"accounts", inTx(func(tx *store.Tx) error { return fails(tx.OnUndeliverable(account)) })},
		"Tx.Verification":   {"verifications", inTx(func(tx *store.Tx) error { return fails3(tx.Verification(held.ID)) })},
		"Tx.VerificationOf": {"message_ids", inTx(func(tx *store.Tx) error { return fails3(tx.VerificationOf(ref)) })},
	}
}
