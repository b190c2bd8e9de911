package main

import (
	"os"
	"path/filepath"
	"testing"
)

// TestBackup checks that the copy works with the key file.
func TestBackup(t *testing.T) {
	t.Parallel()
	in := install(t)
	in.fails(2, "must be a file", "backup", "-", "CONFIG")
	in.ok("account", "create", "Acme", "CONFIG", "--key=acme0001", "--credit=5")
	to := filepath.Join(in.dir, "copy.db")
	in.ok("backup", to, "CONFIG")
	in.ok("account", "credit", "acme0001", "1", "CONFIG") // missing in the copy
	in.fails(1, "exist", "backup", to, "CONFIG")
	in.fails(1, "", "backup", filepath.Join(in.dir, "no", "such.db"), "CONFIG")

	if err := os.Rename(to, filepath.Join(in.dir, "data", "countersign.db")); err != nil {
		t.Fatal(err)
	}
	if c := in.credentials("acme0001"); c.Name != "Acme" || c.Balance.String() != "5.00000000" {
		t.Errorf("the copy holds %+v", c.Account)
	}
}
