package main

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/json"
	"encoding/pem"
	"math/big"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"countersign/internal/check"
)

// certificate NAME DAYS HOST writes NAME.pem and NAME.key, which expire in DAYS days.
func certificate(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 3 {
		ts.Fatalf("usage: certificate name days host")
	}
	days, err := strconv.Atoi(args[1])
	ts.Check(err)
	ts.Check(writeCertificate(ts.MkAbs(args[0]), time.Now().AddDate(0, 0, days), args[2]))
}

func writeCertificate(path string, until time.Time, host string) error {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return err
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: host}, DNSNames: []string{host},
		NotBefore: until.AddDate(-2, 0, 0), NotAfter: until,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		return err
	}
	secret, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return err
	}
	if err := os.WriteFile(path+".pem", pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), 0o600); err != nil {
		return err
	}
	return os.WriteFile(path+".key", pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: secret}), 0o600)
}

// yamlBlock matches a block of settings on a page.
var yamlBlock = regexp.MustCompile("(?s)```yaml\n(.*?)```")

// TestGuideConfiguration checks that the configuration of the production guide has no
// findings, with its TLS settings and without. Only paths and ports differ.
func TestGuideConfiguration(t *testing.T) {
	t.Parallel()
	page, err := os.ReadFile(filepath.Join(root, "docs/how-to/run-in-production.md"))
	if err != nil {
		t.Fatal(err)
	}
	blocks := yamlBlock.FindAllStringSubmatch(string(page), -1)
	if len(blocks) != 2 {
		t.Fatalf("the page has %d blocks of settings, want the configuration and the one with TLS", len(blocks))
	}
	plain, tls := blocks[0][1], blocks[1][1]
	withTLS := regexp.MustCompile(`(?m)^(listen|trusted_proxies):.*\n`).ReplaceAllString(plain, "") + tls
	for name, settings := range map[string]string{"plain": plain, "TLS": withTLS} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			file := guideInstallation(t, settings)
			found, code := findings(t, file)
			if code != 0 || len(found) > 0 {
				t.Errorf("check ends with %d: %v", code, found)
			}
		})
	}
	t.Run("with the virtual phone", func(t *testing.T) {
		t.Parallel()
		file := guideInstallation(t, plain[:strings.Index(plain, "carriers:")])
		found, code := findings(t, file)
		if code != 2 || len(found) != 1 || found[0].Setting != "carriers[0].virtual.public" {
			t.Errorf("check ends with %d: %v, want the exposed phone", code, found)
		}
	})
}

// guideInstallation follows the guide in a temporary directory and returns the
// configuration.
func guideInstallation(t *testing.T, settings string) string {
	t.Helper()
	dir := t.TempDir()
	espeak := filepath.Join(dir, "espeak-ng") // the guide installs it
	for name, mode := range map[string]os.FileMode{"espeak-ng": 0o700, "carrier-a.password": 0o600, "voice-a.password": 0o600} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte("#!/bin/sh\n"), mode); err != nil {
			t.Fatal(err)
		}
	}
	if err := writeCertificate(filepath.Join(dir, "cert"), time.Now().AddDate(0, 0, 90), "verify.example.com"); err != nil {
		t.Fatal(err)
	}
	settings = strings.NewReplacer(
		"/etc/countersign/fullchain.pem", dir+"/cert.pem", "/etc/countersign/privkey.pem", dir+"/cert.key",
		"/etc/countersign", dir, "/var/lib/countersign", dir,
	).Replace(settings)
	settings = regexp.MustCompile(`(listen: [0-9.]+):[0-9]+`).ReplaceAllString(settings, "$1:0")
	file := filepath.Join(dir, "countersign.yaml")
	// The unit sets the limit of open files (LimitNOFILE); the limit of the test may be lower.
	settings += "\ntts: {espeak: " + espeak + "}\nlimits: {connections: 10}\n"
	if err := os.WriteFile(file, []byte(settings), 0o600); err != nil {
		t.Fatal(err)
	}
	var out output
	if code := run(t.Context(), []string{"migrate", "up", "--config", file}, nil, &out, &out); code != 0 {
		t.Fatalf("migrate up ends with %d: %s", code, out.String())
	}
	return file
}

// findings runs countersign check.
func findings(t *testing.T, file string) (found []check.Finding, code int) {
	t.Helper()
	var out, errs output
	code = run(t.Context(), []string{"check", "--config", file, "--output", "json"}, nil, &out, &errs)
	var result struct{ Findings []check.Finding }
	if err := json.Unmarshal([]byte(out.String()), &result); err != nil {
		t.Fatalf("%v: %s%s", err, out.String(), errs.String())
	}
	return result.Findings, code
}
