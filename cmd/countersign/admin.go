package main

import (
	"cmp"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"net"
	"net/http"
	"os"
	"os/user"
	"strings"
	"time"

	"countersign/internal/adminapi"
	"countersign/internal/config"
	"countersign/internal/deliver/tts"
	"countersign/internal/message"
	"countersign/internal/server"
	"countersign/internal/store"
)

// adminFlag is shared by the commands that administer an installation through the admin
// API: over HTTP if a server serves it, otherwise in process on the database; see
// [adminFlag.connect].
type adminFlag struct {
	configFlag
	Admin          string `group:"Admin API" help:"URL of the admin API. Default: from the configuration." placeholder:"URL"`
	AdminTokenFile string `group:"Admin API" help:"File with the admin API token. Default: from the configuration." type:"path" placeholder:"FILE"`
}

// ask sends one request.
func (f adminFlag) ask(p *process, r adminapi.Request, out any) error {
	client, done, err := f.connect(p)
	if err != nil {
		return err
	}
	return errors.Join(selectAnother(client.Do(p.ctx, r, out)), done())
}

// selectAnother adds the remedies to an error about an unreachable server.
func selectAnother(err error) error {
	if _, ok := errors.AsType[*adminapi.Unreachable](err); ok {
		return fmt.Errorf("%w; start the server, or select another with --admin URL or admin.url", err)
	}
	return err
}

// get sends a GET request.
func (f adminFlag) get(p *process, out any, path ...string) error {
	return f.ask(p, adminapi.Request{Method: http.MethodGet, Path: adminapi.Path(path...)}, out)
}

// post sends a POST request.
func (f adminFlag) post(p *process, in, out any, path ...string) error {
	return f.ask(p, adminapi.Request{Method: http.MethodPost, Path: adminapi.Path(path...), JSON: in}, out)
}

// connect returns a client of the server's admin API, or of the database if no server runs.
func (f adminFlag) connect(p *process) (_ *adminapi.Client, done func() error, err error) {
	cfg, err := f.load(p)
	if err != nil {
		return nil, nil, err
	}
	client, done, err := f.server(p, cfg)
	if client != nil || err != nil {
		return client, done, err
	}
	return f.direct(p, cfg)
}

// server returns a client of the admin API at --admin or admin.url, or at admin.listen if
// a server listens there; nil without either.
func (f adminFlag) server(p *process, cfg config.Config) (_ *adminapi.Client, done func() error, err error) {
	admin := cfg.Admin
	admin.URL = strings.TrimSuffix(cmp.Or(f.Admin, admin.URL), "/")
	admin.TokenFile = cmp.Or(f.AdminTokenFile, admin.TokenFile)
	if admin.URL != "" {
		if err := admin.CheckURL(); err != nil {
			return nil, nil, fmt.Errorf("admin URL: %w", err)
		}
		return remote(admin, admin.URL, nil)
	}
	if admin.Listen == "" {
		return nil, nil, nil
	}
	address := reachable(admin.Listen)
	if !answers(p.ctx, address) {
		return nil, nil, nil
	}
	return nearby(admin, address)
}

// answers reports whether an address of this machine accepts connections.
func answers(ctx context.Context, address string) bool {
	conn, err := (&net.Dialer{Timeout: time.Second}).DialContext(ctx, "tcp", address)
	if err != nil {
		return false
	}
	_ = conn.Close() // no request was sent
	return true
}

// reachable returns the address for connections from this machine to a listener.
func reachable(listen string) string {
	host, port, err := net.SplitHostPort(listen)
	if err != nil {
		return listen
	}
	if ip := net.ParseIP(host); host == "" || ip.IsUnspecified() {
		host = "localhost"
	}
	return net.JoinHostPort(host, port)
}

// nearby returns a client of the server on this machine. The server must present the
// certificate of admin.tls.cert, for any host name.
func nearby(cfg config.Admin, address string) (*adminapi.Client, func() error, error) {
	if cfg.TLS.Cert == "" {
		return remote(cfg, "http://"+address, nil)
	}
	text, err := os.ReadFile(cfg.TLS.Cert)
	if err != nil {
		return nil, nil, fmt.Errorf("admin.tls.cert: %w", err)
	}
	block, _ := pem.Decode(text)
	if block == nil {
		return nil, nil, fmt.Errorf("admin.tls.cert: file %s has no certificate", cfg.TLS.Cert)
	}
	return remote(cfg, "https://"+address, block.Bytes)
}

// longest limits the time until the response header. Some requests read all data.
const longest = 30 * time.Minute

// remote returns a client of a server. If pinned is not nil, the server must present that
// certificate.
func remote(cfg config.Admin, url string, pinned []byte) (*adminapi.Client, func() error, error) {
	conf := &tls.Config{MinVersion: tls.VersionTLS12}
	if pinned != nil {
		conf.InsecureSkipVerify = true // VerifyConnection is stricter
		conf.VerifyConnection = func(s tls.ConnectionState) error {
			if string(s.PeerCertificates[0].Raw) != string(pinned) {
				return errors.New("the server presents another certificate than admin.tls.cert")
			}
			return nil
		}
	}
	if cfg.Client.CA != "" {
		text, err := os.ReadFile(cfg.Client.CA)
		if err != nil {
			return nil, nil, fmt.Errorf("admin.client.ca: %w", err)
		}
		conf.RootCAs = x509.NewCertPool()
		if !conf.RootCAs.AppendCertsFromPEM(text) {
			return nil, nil, fmt.Errorf("admin.client.ca: file %s has no certificate", cfg.Client.CA)
		}
	}
	if cfg.Client.Cert != "" {
		cert, err := tls.LoadX509KeyPair(cfg.Client.Cert, cfg.Client.Key)
		if err != nil {
			return nil, nil, fmt.Errorf("admin.client: %w", err)
		}
		conf.Certificates = []tls.Certificate{cert}
	}
	token, err := tokenOf(cfg)
	if err != nil {
		return nil, nil, err
	}
	transport := &http.Transport{Proxy: http.ProxyFromEnvironment, TLSClientConfig: conf, ResponseHeaderTimeout: longest, ForceAttemptHTTP2: true}
	client := &http.Client{Transport: transport, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	return &adminapi.Client{URL: url, Token: token, HTTP: client}, func() error { transport.CloseIdleConnections(); return nil }, nil
}

// tokenOf returns the admin API token; "" if a client certificate replaces it.
func tokenOf(cfg config.Admin) (string, error) {
	if cfg.TokenFile == "" {
		return "", nil
	}
	token, err := adminapi.ReadToken(cfg.TokenFile)
	if cfg.Client.Cert != "" && errors.Is(err, fs.ErrNotExist) {
		return "", nil
	}
	return token, err
}

// direct returns a client that works on the database in process, as the current user.
func (f configFlag) direct(p *process, cfg config.Config) (_ *adminapi.Client, done func() error, err error) {
	database, key, err := f.existing(p, cfg)
	if err != nil {
		return nil, nil, err
	}
	log := newLogger(p.stderr, logLevel("warn"), "text")
	db, err := store.Open(p.ctx, store.Config{Database: database, Key: key, Log: log})
	if err != nil {
		return nil, nil, err
	}
	if err := p.follow(db); err != nil {
		return nil, nil, errors.Join(err, db.Close())
	}
	api := adminapi.New(adminapi.Config{
		Store: db, Clock: p.clock, Log: log, Explain: true, Caps: server.Caps(cfg.Fraud), CarrierNames: cfg.CarrierNames(),
		WAV: speaker(cfg, db, log), Explaining: server.Explaining(cfg, db, p.clock, log),
		Forget: func(ctx context.Context, forget store.Forget) (store.Forgotten, error) {
			return server.ForgetNumber(ctx, cfg, db, p.clock, log, forget)
		},
		Schema: func(ctx context.Context) ([]store.Migration, error) { return store.Migrations(ctx, database) },
	})
	name, source := operator()
	return &adminapi.Client{HTTP: &http.Client{Transport: api.InProcess(name, source)}}, db.Close, nil
}

// speaker returns a function that writes a script as WAV, with the server's speech settings.
func speaker(cfg config.Config, db *store.DB, log *slog.Logger) func(context.Context, io.Writer, message.Script) error {
	return func(ctx context.Context, w io.Writer, script message.Script) error {
		speech := server.SpeechConfig(cfg.TTS, log)
		speech.Recordings = server.Recordings(db)
		s, err := tts.New(speech)
		if err != nil {
			return err
		}
		sound, err := s.Speak(ctx, script)
		if err == nil {
			_, err = w.Write(sound.WAV())
		}
		return err
	}
}

// changeAs changes the database directly, with an audit entry.
func (f configFlag) changeAs(p *process, action string, do func(context.Context, *store.DB) error) error {
	db, err := f.open(p)
	if err != nil {
		return err
	}
	name, source := operator()
	ctx, _ := store.WithAudit(p.ctx, store.AuditEntry{At: p.now(), Who: name, Source: source, Action: action, Detail: "{}"})
	return errors.Join(do(ctx, db), db.Close())
}

// operator returns the user name and the host for the audit log.
func operator() (name, source string) {
	name, source = fmt.Sprintf("uid %d", os.Getuid()), "command line"
	if u, err := user.Current(); err == nil {
		name = u.Username
	}
	if host, err := os.Hostname(); err == nil {
		source += " on " + host
	}
	return name, source
}
