package config

import (
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"net"
	"net/netip"
	"net/url"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"countersign/internal/message"
	"countersign/internal/suggest"
	"countersign/internal/verify"
)

// Validate returns the joined [Problem] values of all invalid settings. Each has a line
// that begins with its key. [Sources.Locate] adds their places.
func (c Config) Validate() error {
	var p problems
	p.add("listen", checkAddress(c.Listen))
	if c.OpsListen != "" {
		p.add("ops_listen", checkAddress(c.OpsListen))
	}
	if c.OpsListen == c.Listen && !strings.HasSuffix(c.Listen, ":0") { // port 0 differs for each listener
		p.addf("ops_listen", "must differ from listen")
	}
	_, err := c.StoreDatabase()
	p.add("database", err)
	if c.KeyFile == "" {
		p.addf("key_file", "must be given")
	}
	c.TLS.validate(&p)
	c.Server.validate(&p)
	for i, proxy := range c.TrustedProxies {
		_, err := parsePrefix(proxy)
		p.add(index("trusted_proxies", i), err)
	}
	_, err = c.Log.MinLevel()
	p.add("log.level", err)
	p.add("log.format", oneOf(c.Log.Format, "json", "text"))
	c.validateRanges(&p)
	c.Limits.validate(&p)
	if c.V1.PlatformName == "" {
		p.addf("v1.platform_name", "must be given")
	}
	if c.V1.WrongCodeText == "" {
		p.addf("v1.wrong_code_text", "must be given")
	}
	if c.V1.TooManyCodesText == "" {
		p.addf("v1.too_many_codes_text", "must be given")
	}
	p.add("billing.currency", oneOf(c.Billing.Currency, "USD", "EUR"))
	p.add("billing.charge", oneOf(c.Billing.Charge, ChargeSent, ChargeSuccess))
	if _, err := c.Billing.LowBalanceAmount(); err != nil {
		p.add("billing.low_balance", err)
	}
	c.Admin.validate(&p)
	if a := c.Admin.Listen; a != "" && !strings.HasSuffix(a, ":0") && (a == c.Listen || a == c.OpsListen) {
		p.addf("admin.listen", "must differ from listen and ops_listen")
	}
	c.Retention.validate(&p)
	c.Fraud.validate(&p)
	c.Outbound.validate(&p)
	p.add("locale_of_country", checkLocales(c.LocaleOfCountry, c.LocaleFiles))
	c.validateCarriers(&p)
	c.validateRoutes(&p)
	c.Networks.validate(&p)
	c.TTS.validate(&p)
	return errors.Join(p...)
}

// checkLocales checks countries and their locales. It derives the locale of a file from
// the file's name and does not read the file.
func checkLocales(ofCountry map[string]string, files []string) error {
	if len(ofCountry) == 0 {
		return nil
	}
	messages, err := message.New()
	if err != nil {
		return err
	}
	ofCountry = maps.Clone(ofCountry)
	for code, locale := range ofCountry {
		if slices.ContainsFunc(files, func(file string) bool { return filepath.Base(file) == message.LocaleName(locale)+".json" }) {
			ofCountry[code] = "en-us"
		}
	}
	_, err = messages.WithLocaleOfCountry(ofCountry)
	return err
}

func (t TLS) validate(p *problems) {
	switch {
	case t.Cert == "" && t.Key != "":
		p.addf("tls.cert", "must be given with tls.key")
	case t.Cert != "" && t.Key == "":
		p.addf("tls.key", "must be given with tls.cert")
	}
}

// hostLabel matches a label of a DNS name. It permits underscores, which the standard for
// hosts does not, because names of containers have them.
var hostLabel = regexp.MustCompile(`^[a-zA-Z0-9_]([a-zA-Z0-9_-]{0,61}[a-zA-Z0-9_])?$`)

func (s Server) validate(p *problems) {
	if u, err := url.Parse(s.PublicURL); s.PublicURL != "" && (err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" || u.User != nil || u.RawQuery != "" || u.Fragment != "") {
		p.addf("server.public_url", "must be an http or https URL without user and query, such as https://verify.example.com, not %q", s.PublicURL)
	}
	for i, name := range s.Names {
		if _, err := netip.ParseAddr(name); err == nil {
			continue
		}
		for label := range strings.SplitSeq(strings.TrimPrefix(name, "*."), ".") {
			if !hostLabel.MatchString(label) {
				p.addf(index("server.names", i), "must be a DNS name or IP address without scheme, port and path, such as verify.example.com or *.example.com, not %q", name)
				break
			}
		}
	}
}

// validate checks the relations of the durations. Their minimums in Ranges ensure that
// late receipts and responses find their event, and requests their ledger entries.
func (r Retention) validate(p *problems) {
	longer := func(long, short time.Duration) bool { return long == 0 || short != 0 && long >= short }
	if !longer(r.Numbers, r.Codes) {
		p.addf("retention.numbers", "must not be less than retention.codes")
	}
	if !longer(r.History, r.Numbers) {
		p.addf("retention.history", "must not be less than retention.numbers")
	}
}

var (
	ttsArg    = regexp.MustCompile(`\{[^}]*\}`) // placeholder
	ttsLocale = regexp.MustCompile(`^[a-z]{2,3}-[a-z]{2,4}$`)
)

func (t TTS) validate(p *problems) {
	if len(t.Command) > 0 && t.Espeak != "" {
		p.addf("tts.command", "cannot be given with tts.espeak")
	}
	for i, arg := range t.Command {
		if i == 0 && arg == "" {
			p.addf(index("tts.command", i), "must name a program")
		}
		for _, name := range ttsArg.FindAllString(arg, -1) {
			if i == 0 || name != "{voice}" && name != "{locale}" {
				p.addf(index("tts.command", i), "unknown placeholder %s; use {voice} and {locale} in arguments, and read the text from standard input", name)
			}
		}
	}
	if len(t.Voices) > 0 && len(t.Command) == 0 {
		p.addf("tts.voices", "requires tts.command")
	}
	named := make(map[string]bool)
	for i, v := range t.Voices {
		key := index("tts.voices", i)
		if !ttsLocale.MatchString(v.Locale) || named[v.Locale] {
			p.addf(key+".locale", "must be a locale such as en-gb, once, not %q", v.Locale)
		}
		if v.Name == "" {
			p.addf(key+".name", "must be given")
		}
		named[v.Locale] = true
	}
}

func (c Config) validateCarriers(p *problems) {
	names := make(map[string]bool)
	for i, carrier := range c.Carriers {
		key := index("carriers", i)
		switch {
		case carrier.Name == "":
			p.addf(key+".name", "must be given")
		case names[carrier.Name]:
			p.addf(key+".name", "%q names two carriers", carrier.Name)
		}
		names[carrier.Name] = true
		carrier.validate(key, p)
	}
}

func (c Config) validateRoutes(p *problems) {
	first := make(map[string]int)
	for i, route := range c.Routes {
		key := index("routes", i)
		route.validate(key, c, p)
		route.Carriers, route.Weights = nil, nil
		to := fmt.Sprintf("%#v", route) // conditions only
		if other, ok := first[to]; ok {
			p.addf(key, "same conditions as %s", index("routes", other))
			continue
		}
		first[to] = i
	}
}

func (n Networks) validate(p *problems) {
	for i, prefix := range n.Unsupported {
		key := index("networks.unsupported", i)
		if prefix == "" {
			p.addf(key, "would refuse every number")
		}
		p.add(key, checkDigits(prefix))
	}
	names := make(map[string]bool)
	for i, network := range n.Known {
		key := index("networks.known", i)
		if network.Name == "" {
			p.addf(key+".name", "must be given")
		} else if names[network.Name] {
			p.addf(key+".name", "%q names two networks", network.Name)
		}
		names[network.Name] = true
		for j, prefix := range network.Prefixes {
			p.add(index(key+".prefixes", j), checkDigits(prefix))
		}
	}
}

// StoreDatabase returns the database in the format of package store: the path of a file,
// or the URL of a PostgreSQL database. Its errors contain at most the scheme, since the
// rest may contain a password.
func (c Config) StoreDatabase() (string, error) {
	scheme, path, ok := strings.Cut(c.Database, ":")
	switch {
	case !ok || scheme == "":
		return "", errors.New("must be sqlite: and the path of a file, or a postgres:// URL")
	case (scheme == "postgres" || scheme == "postgresql") && strings.HasPrefix(path, "//"):
		return c.Database, nil
	case scheme != "sqlite":
		return "", fmt.Errorf("scheme %q is not supported, only sqlite and postgres", scheme)
	case path == "":
		return "", errors.New("the path after sqlite: is missing")
	}
	return path, nil
}

// ProxyPrefixes returns the trusted proxies as ranges. A single address becomes a range
// of one.
func (c Config) ProxyPrefixes() ([]netip.Prefix, error) {
	return parsePrefixes("trusted_proxies", c.TrustedProxies)
}

// Prefixes returns the networks as ranges. A single address becomes a range of one.
func (o Outbound) Prefixes() ([]netip.Prefix, error) {
	return parsePrefixes("outbound.networks", o.Networks)
}

func (o Outbound) validate(p *problems) {
	for i, network := range o.Networks {
		_, err := parsePrefix(network)
		p.add(index("outbound.networks", i), err)
	}
}

func parsePrefixes(key string, texts []string) ([]netip.Prefix, error) {
	var prefixes []netip.Prefix
	for i, text := range texts {
		prefix, err := parsePrefix(text)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", index(key, i), err)
		}
		prefixes = append(prefixes, prefix)
	}
	return prefixes, nil
}

// MinLevel returns the level for slog.
func (l Log) MinLevel() (slog.Level, error) {
	switch l.Level {
	case "debug":
		return slog.LevelDebug, nil
	case "info":
		return slog.LevelInfo, nil
	case "warn":
		return slog.LevelWarn, nil
	case "error":
		return slog.LevelError, nil
	}
	return 0, oneOf(l.Level, "debug", "info", "warn", "error")
}

func parsePrefix(s string) (netip.Prefix, error) {
	if addr, err := netip.ParseAddr(s); err == nil && addr.Zone() == "" {
		return netip.PrefixFrom(addr, addr.BitLen()), nil
	}
	prefix, err := netip.ParsePrefix(s)
	if err != nil {
		return netip.Prefix{}, fmt.Errorf("must be an IP address or a CIDR range, not %q", s)
	}
	return prefix.Masked(), nil
}

func checkAddress(s string) error {
	_, port, err := net.SplitHostPort(s)
	if err != nil {
		return fmt.Errorf("must be host:port, not %q", s)
	}
	if _, err := strconv.ParseUint(port, 10, 16); err != nil {
		return fmt.Errorf("must have a port of 0 to 65535, not %q", port)
	}
	return nil
}

// checkDigits returns an error if prefix cannot be the start of an E.164 number. No
// calling code begins with 0: such a prefix is a trunk or international prefix and would
// never match.
func checkDigits(prefix string) error {
	if strings.HasPrefix(prefix, "0") || strings.Trim(prefix, "0123456789") != "" {
		return fmt.Errorf("must be the first digits of an international number, not %q", prefix)
	}
	return nil
}

func checkChannel(c verify.Channel) error {
	var names []string
	for _, known := range verify.Channels() {
		names = append(names, string(known.Channel))
	}
	return oneOf(string(c), names...)
}

// oneOf returns an error with a suggestion if value is not one of the allowed values,
// of which at least two are required.
func oneOf(value string, allowed ...string) error {
	if slices.Contains(allowed, value) {
		return nil
	}
	last := len(allowed) - 1
	return wordError(fmt.Sprintf("must be %s or %s, not %q%s",
		strings.Join(allowed[:last], ", "), allowed[last], value, suggest.Hint(value, allowed)))
}

// wordError reports a value that is not one of the allowed words.
type wordError string

func (e wordError) Error() string { return string(e) }

// problems collects the problems of a configuration.
type problems []error

// add appends err as the problem of key unless it is nil.
func (p *problems) add(key string, err error) {
	if err != nil {
		*p = append(*p, &Problem{Key: key, Reason: err})
	}
}

func (p *problems) addf(key, format string, args ...any) {
	p.add(key, fmt.Errorf(format, args...))
}

func index(key string, i int) string { return fmt.Sprintf("%s[%d]", key, i) }
