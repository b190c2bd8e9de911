package billing

import (
	"context"
	"encoding/csv"
	"fmt"
	"io"
	"time"

	"countersign/internal/spreadsheet"
	"countersign/internal/store"
	"countersign/internal/verify"
)

// page is the number of entries read in one query.
const page = 1000

// WriteLedger writes the ledger of an account, or of all accounts for "", between two times
// as CSV; zero times mean unbounded. It reads page by page, so the size of the ledger is
// not limited by memory.
//
// Spreadsheets treat text that begins with =, +, -, @ or a control character as a formula;
// such text is prefixed with an apostrophe. Amounts are written unchanged: they are plain
// decimals, so that a spreadsheet can sum them.
func WriteLedger(ctx context.Context, db *store.DB, account string, from, until time.Time, w io.Writer) (entries int, err error) {
	accounts, err := db.Accounts(ctx)
	if err != nil {
		return 0, err
	}
	out := csv.NewWriter(w)
	_ = out.Write([]string{"time", "account", "account_name", "sub_account", "kind", "amount", "key"}) // reported by out.Error
	found := account == ""
	for _, a := range accounts {
		if account != "" && a.Key != account {
			continue
		}
		found = true
		f := store.EntryFilter{Account: a.Key, From: from, Until: until, Limit: page}
		for {
			list, err := db.Entries(ctx, f)
			if err != nil {
				return entries, err
			}
			for _, e := range list {
				_ = out.Write([]string{
					e.CreatedAt.Format("2006-01-02T15:04:05.000Z"), spreadsheet.Text(e.Account), spreadsheet.Text(a.Name),
					spreadsheet.Text(e.SubAccount), spreadsheet.Text(e.Kind), e.Amount.String(), spreadsheet.Text(e.Key),
				})
			}
			entries += len(list)
			if out.Flush(); out.Error() != nil {
				return entries, out.Error()
			}
			if len(list) < page {
				break
			}
			f.After = &list[len(list)-1]
		}
	}
	if !found {
		return 0, fmt.Errorf("account %s: %w", account, store.ErrNoAccount)
	}
	out.Flush()
	return entries, out.Error()
}

// Books returns the balances of an account, or of all accounts for "", with the sums of
// their entries. wrong is the number of accounts with a difference.
func Books(ctx context.Context, db *store.DB, account string) (books []store.Book, wrong int, err error) {
	keys := []string{account}
	if account == "" {
		accounts, err := db.Accounts(ctx)
		if err != nil {
			return nil, 0, err
		}
		keys = keys[:0]
		for _, a := range accounts {
			keys = append(keys, a.Key)
		}
	}
	for _, key := range keys {
		b, ok, err := db.Book(ctx, key)
		if err == nil && !ok && account != "" {
			err = fmt.Errorf("account %s: %w", account, store.ErrNoAccount)
		}
		if err != nil {
			return nil, 0, err
		}
		if ok {
			books = append(books, b)
			if b.Balance != b.Sum {
				wrong++
			}
		}
	}
	return books, wrong, nil
}

// Low reports whether an account's balance is below its threshold; without one, below the
// threshold of the installation. It is false for sub-accounts, since their parent pays.
func Low(a verify.Account, installation verify.Money) bool {
	threshold := installation
	if own, err := verify.ParseMoney(a.Settings.LowBalance); err == nil {
		threshold = own
	}
	return a.Parent == "" && !a.OnCredit() && threshold > 0 && a.Balance < threshold
}
