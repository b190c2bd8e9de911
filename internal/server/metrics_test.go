package server_test

import (
	"io"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"countersign/internal/clock"
	"countersign/internal/config"
	"countersign/internal/server"
	"countersign/internal/vault"
)

// metric is an exported metric, as a row of the reference page.
type metric struct{ name, kind, labels, help string }

func (m metric) row() string {
	labels := "–"
	if m.labels != "" {
		labels = "`" + strings.ReplaceAll(m.labels, ",", "`, `") + "`"
	}
	return "| `" + m.name + "` | " + m.kind + " | " + labels + " | " + m.help + " |"
}

// everyCarrier returns a configuration with a carrier of each type and each listener. The
// carriers have no peers.
func everyCarrier(t *testing.T) server.Options {
	t.Helper()
	dir := t.TempDir()
	opts := options(filepath.Join(dir, "countersign.db"), vault.NewKey())
	opts.Unlimited = false
	opts.Clock = clock.New(clock.Config{})
	issue(t, dir, time.Now())
	opts.Config.Admin = config.Admin{
		Listen: "127.0.0.1:0", TokenFile: filepath.Join(dir, "token"),
		TLS: config.AdminTLS{Cert: filepath.Join(dir, "cert.pem"), Key: filepath.Join(dir, "key.pem")},
	}
	file := filepath.Join(dir, "carriers.yaml")
	if err := os.WriteFile(file, []byte(carriersOfAllTypes), 0o600); err != nil {
		t.Fatal(err)
	}
	extra, _, err := config.Read(file, nil)
	if err != nil {
		t.Fatal(err)
	}
	opts.Config.Carriers = append(opts.Config.Carriers, extra.Carriers...)
	return opts
}

const carriersOfAllTypes = `
carriers:
  - name: smsc
    type: smpp
    smpp: {addresses: ["127.0.0.1:1"], system_id: acme, password: secret}
  - name: gateway
    type: httpsms
    http: {url: "http://127.0.0.1:1/", headers: ["Content-Type: application/json"], body: '{"to": "{{.To}}"}', success: ["http 200"], ref: id}
  - name: trunk
    type: sip
    sip: {host: "127.0.0.1:1", register: true, user: acme, password: secret, listen: "127.0.0.1:0", caller_ids: [{number: "442071838750"}]}
  - name: nothing
    type: sink
routes:
  - carriers: [smsc, gateway, trunk, nothing]
`

// scrape returns the exposition of a server's metrics.
func (r *running) scrape() string {
	r.t.Helper()
	resp, err := r.client.Get(r.OpsURL() + "/metrics")
	if err != nil {
		r.t.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil || resp.StatusCode != http.StatusOK {
		r.t.Fatalf("/metrics: status %d, %v", resp.StatusCode, err)
	}
	return string(body)
}

// exported returns the program's metrics in an exposition, without Go runtime and process
// metrics.
func exported(exposition string) []metric {
	sample := regexp.MustCompile(`^([a-z0-9_]+)(?:\{(.*)\})? `)
	label := regexp.MustCompile(`([a-z_]+)="`)
	var list []metric
	byName := map[string]int{}
	for line := range strings.Lines(exposition) {
		line = strings.TrimSpace(line)
		if text, ok := strings.CutPrefix(line, "# HELP "); ok {
			name, help, _ := strings.Cut(text, " ")
			byName[name] = len(list)
			list = append(list, metric{name: name, help: help})
			continue
		}
		if text, ok := strings.CutPrefix(line, "# TYPE "); ok {
			name, kind, _ := strings.Cut(text, " ")
			list[byName[name]].kind = kind
			continue
		}
		parts := sample.FindStringSubmatch(line)
		if parts == nil {
			continue
		}
		name := parts[1]
		for _, suffix := range []string{"_bucket", "_sum", "_count"} {
			if base, ok := strings.CutSuffix(name, suffix); ok && list[len(list)-1].name == base {
				name = base
			}
		}
		var labels []string
		for _, l := range label.FindAllStringSubmatch(parts[2], -1) {
			if l[1] != "le" {
				labels = append(labels, l[1])
			}
		}
		list[byName[name]].labels = strings.Join(labels, ",")
	}
	return slices.DeleteFunc(list, func(m metric) bool { return !strings.HasPrefix(m.name, "countersign_") })
}

// TestMetricsReference compares docs/reference/metrics.md with the metrics of a server
// with a carrier of each type: every name, type, label and help, in both directions.
func TestMetricsReference(t *testing.T) {
	t.Parallel()
	page, err := os.ReadFile("../../docs/reference/metrics.md")
	if err != nil {
		t.Fatal(err)
	}
	documented := map[string]bool{}
	for line := range strings.Lines(string(page)) {
		if strings.HasPrefix(line, "| `countersign_") {
			documented[strings.TrimSpace(line)] = true
		}
	}
	r := run(t, everyCarrier(t))
	defer r.halt()
	if _, err := r.start("447700900000"); err != nil { // a route has metrics after its first request
		t.Fatal(err)
	}
	for _, m := range exported(r.scrape()) {
		if !documented[m.row()] {
			t.Errorf("docs/reference/metrics.md lacks the row\n%s", m.row())
		}
		delete(documented, m.row())
	}
	for row := range documented {
		t.Errorf("docs/reference/metrics.md has a row without a metric:\n%s", row)
	}
}

// TestMetricNames checks that names use base units, that only counters end with _total,
// and that no gauge has the name of a counter without _total.
func TestMetricNames(t *testing.T) {
	t.Parallel()
	r := run(t, everyCarrier(t))
	defer r.halt()
	list := exported(r.scrape())
	names := map[string]bool{}
	for _, m := range list {
		names[m.name] = true
	}
	for _, m := range list {
		base, counts := strings.CutSuffix(m.name, "_total")
		switch {
		case counts != (m.kind == "counter"):
			t.Errorf("%s is a %s", m.name, m.kind)
		case counts && names[base]:
			t.Errorf("%s and %s are one name in OpenMetrics", m.name, base)
		case m.kind == "histogram" && !regexp.MustCompile(`_(seconds|writes|mos)$`).MatchString(m.name):
			t.Errorf("%s has no unit", m.name)
		case regexp.MustCompile(`_(ms|millis|milliseconds|minutes|hours|kb|mb)(_|$)`).MatchString(m.name):
			t.Errorf("%s has a unit that is not a base unit", m.name)
		case m.help == "":
			t.Errorf("%s has no help", m.name)
		}
		for _, label := range strings.Split(m.labels, ",") {
			if slices.Contains([]string{"number", "account", "request_id", "event_id", "address", "source"}, label) {
				t.Errorf("%s has the label %s with unbounded or personal values", m.name, label)
			}
		}
	}
}

// TestMetricsStartAtZero checks that counters with known labels start at 0, so that
// rate() includes their first event.
func TestMetricsStartAtZero(t *testing.T) {
	t.Parallel()
	r := run(t, everyCarrier(t))
	defer r.halt()
	text := r.scrape()
	for _, line := range []string{
		`countersign_v1_answers_total{endpoint="start",status="7"} 0`,
		`countersign_v1_answers_total{endpoint="search",status="101"} 0`,
		`countersign_verifications_ended_total{status="EXPIRED"} 0`,
		`countersign_checks_total{result="invalid"} 0`,
		`countersign_events_total{channel="tts",state="refused"} 0`,
		`countersign_cap_hits_total{cap="streak"} 0`,
		`countersign_cap_hits_total{cap="account_failed_checks_24h"} 0`,
		`countersign_carrier_messages_total{carrier="smsc",channel="sms",result="unclear"} 0`,
		`countersign_carrier_receipts_total{carrier="gateway",state="undeliverable"} 0`,
		`countersign_carrier_submit_duration_seconds_count{carrier="gateway"} 0`,
		`countersign_smpp_submissions_total{carrier="smsc",status="timeout"} 0`,
		`countersign_smpp_pdus_received_total{carrier="smsc",kind="receipt"} 0`,
		`countersign_sip_calls_total{carrier="trunk",outcome="no answer"} 0`,
		`countersign_fraud_decisions_total{decision="refused",rule="prefix"} 0`,
		`countersign_fraud_blocks_total{action="block",rule="source"} 0`,
		`countersign_failed_logins_total{answer="delayed"} 0`,
		`countersign_http_requests_refused_total{listener="admin",reason="site"} 0`,
		`countersign_connections_closed_total{listener="ops",reason="idle"} 0`,
		`countersign_admin_requests_refused_total{code="401"} 0`,
		`countersign_receipts_early_total 0`,
	} {
		if !strings.Contains(text, "\n"+line+"\n") {
			t.Errorf("no %s", line)
		}
	}
}

// TestMetricsOfState checks the gauges of carriers, backlog and keys.
func TestMetricsOfState(t *testing.T) {
	t.Parallel()
	r := run(t, everyCarrier(t))
	defer r.halt()
	text := r.scrape()
	for _, want := range []string{
		`countersign_build_info\{commit="[^"]+",go_version="go[^"]+",version="[^"]+"\} 1`,
		`countersign_carrier_up\{carrier="smsc",protocol="smpp"\} 0`,
		`countersign_carrier_up\{carrier="trunk",protocol="sip"\} 0`,
		`countersign_carrier_up\{carrier="gateway",protocol="http"\} 1`, // before the first message
		`countersign_carrier_up\{carrier="phone",protocol="virtual"\} 1`,
		`countersign_carrier_marked_down\{carrier="gateway"\} 0`,
		`countersign_steps_due 0`,
		`countersign_steps_overdue 0`,
		`countersign_receipts_pending 0`,
		`countersign_messages_queued 0`,
		`countersign_database_queued_writes [01]`,
		`countersign_database_queued_writes_limit 8192`,
		`countersign_database_connections_limit\{pool="read"\} 8`,
		`countersign_database_batch_writes_count [1-9][0-9]*`,
		`countersign_key_age_seconds\{key="file"\} [0-9.e-]+`,
		`countersign_key_age_seconds\{key="pin"\} [0-9.e-]+`,
	} {
		if !regexp.MustCompile(`(?m)^` + want + `$`).MatchString(text) {
			t.Errorf("no %s", want)
		}
	}
}
