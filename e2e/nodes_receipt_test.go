package e2e

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"countersign/internal/deliver/smpp/smsc"
	"countersign/internal/pgtest"
)

// TestNodesReceipt kills the node that sent a message before the receipt arrives. The SMSC
// sends the receipt to another node with the same system_id, which must find the message.
func TestNodesReceipt(t *testing.T) {
	t.Parallel()
	srv := smsc.Start(t, smsc.Config{
		Password: smppPassword, MaxMessages: 10, Faults: smsc.MustFaults("receipt-delay=2s"),
	})
	i := install(t, "carriers:\n"+viaSMPP("a", srv.Addr())+"routes: [{carriers: [a]}]")
	i.moveTo(t, pgtest.URL(t))
	i.prepare(t)
	if out, err := i.run(t, "account", "create", "Tests", "--key", apiKey, "--secret", apiSecret, "--credit", "100"); err != nil {
		t.Fatalf("create an account: %v\n%s", err, out)
	}
	dies, lives := i.launch(t), i.serve(t)
	t.Cleanup(dies.kill)
	dies.awaitURL(t)
	awaitBinds(t, srv, 2)
	id, _ := dies.ask(t, "/verify/json", "number", dies.newNumber(), "brand", "Acme")["request_id"].(string)
	lives.awaitState(t, id, "accepted")
	dies.kill()
	lives.awaitState(t, id, "delivered")
}

// moveTo configures another, empty database for the installation.
func (i installation) moveTo(t *testing.T, database string) {
	t.Helper()
	config, err := os.ReadFile(i.config())
	if err != nil {
		t.Fatal(err)
	}
	moved := strings.Replace(string(config), "database: sqlite:"+i.database(), "database: "+database, 1)
	if err := os.WriteFile(i.config(), []byte(moved), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Remove(filepath.Join(i.dir, "key")); err != nil { // each database has its own key
		t.Fatal(err)
	}
}
