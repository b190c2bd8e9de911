// Package server assembles the running server from a configuration, for "countersign
// serve", "countersign demo" and tests.
//
// It contains no other logic; only commands and tests may import it.
package server

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/jonboulle/clockwork"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"

	"countersign/internal/apiv1"
	"countersign/internal/billing"
	"countersign/internal/clock"
	"countersign/internal/config"
	"countersign/internal/console"
	"countersign/internal/deliver"
	"countersign/internal/deliver/tts"
	"countersign/internal/engine"
	"countersign/internal/fraud"
	"countersign/internal/inbox"
	"countersign/internal/message"
	"countersign/internal/outbound"
	"countersign/internal/refusal"
	"countersign/internal/retention"
	"countersign/internal/store"
	"countersign/internal/template"
	"countersign/internal/vault"
	"countersign/internal/velocity"
	"countersign/internal/verify"
	"countersign/internal/web"
)

// Options configure a server.
type Options struct {
	Config config.Config // validated
	Key    vault.Key
	// ReadKey, if not nil, reads the key file again: a replaced file takes effect without a
	// restart.
	ReadKey func() (vault.Key, error)

	Log *slog.Logger
	// Clock is the time of the program. On PostgreSQL, a *clock.Steady follows the clock
	// of the database.
	Clock clockwork.Clock

	Speed     int  // divides the waits of verifications; 0 and 1 mean real time
	Unlimited bool // no rate limits and no per-number limits
	// Version and Commit are the labels of countersign_build_info; "" means unknown.
	Version, Commit string
	// LogRefusals logs each refused start with its remedy, at level warn.
	LogRefusals bool
	// DrainFor is the time for which a stopping server refuses requests before it closes its
	// listener.
	DrainFor time.Duration
	// TLS overrides the certificate of the configuration.
	TLS *tls.Config
	// OpenFiles is the maximum number of open files of the process; 0 means the limit of the
	// system (RLIMIT_NOFILE).
	OpenFiles int
}

// grace is the time that a stopping server allows for open requests, and again for messages
// in flight. It is longer than the timeout of a carrier.
const grace = 15 * time.Second

// Server has open listeners, and answers requests after Serve is called.
type Server struct {
	opts   Options
	log    *slog.Logger
	db     *store.DB
	engine *engine.Engine
	steady *clock.Steady // Options.Clock; nil if it has another type
	router *deliver.Router
	old    *retention.Job

	balances *billing.Watch

	velocity *velocity.Watch
	refused  *refusal.Log
	caps     fraud.Caps // caps in force, by the configuration and Options.Unlimited

	speaker   *tts.Speaker
	carriers  carriers
	assembled chan struct{} // closed once the engine exists

	connections *web.Connections
	refusals    *web.Refusals

	drain *web.Drain
	ready *web.Readiness // nil until the database is open
	api   listener
	ops   listener // has a nil Listener if not configured
	admin listener // has a nil Listener if not configured

	certificates certificates

	url    string
	opsURL string

	adminURL string
}

// New opens the database, creates the parts and listens. The caller must call Serve, or
// Close instead.
func New(ctx context.Context, opts Options) (_ *Server, err error) {
	opts.Log = Quiet(opts.Log)
	s := &Server{opts: opts, log: opts.Log, drain: web.NewDrain(), assembled: make(chan struct{})}
	defer func() {
		if err != nil {
			s.abandon()
		}
	}()
	database, err := opts.Config.StoreDatabase()
	if err != nil {
		return nil, fmt.Errorf("database: %w", err)
	}
	reg := prometheus.NewRegistry()
	reg.MustRegister(collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	s.steady, _ = opts.Clock.(*clock.Steady)
	s.followServer(ctx, database)
	s.db, err = store.Open(ctx, store.Config{
		Database: database, Key: opts.Key, ReadKey: opts.ReadKey, Now: opts.Clock.Now(), Log: opts.Log, Serve: true,
		Committed: newWrites(reg).committed,
	})
	if err != nil {
		return nil, err
	}
	if err := s.followDatabase(ctx); err != nil {
		return nil, err
	}
	if s.steady != nil {
		s.steady.Register(reg)
	}
	s.registerMetrics(reg)
	s.ready = s.makeReadiness(reg)
	s.connections, s.refusals = web.NewConnections(reg), web.NewRefusals(reg)
	s.certificates.init(opts, reg)
	handler, err := s.assemble(reg)
	if err != nil {
		return nil, err
	}
	if err := s.listenAPI(ctx, handler); err != nil {
		return nil, err
	}
	if err := s.listenOps(ctx, reg); err != nil {
		return nil, err
	}
	if err := s.listenAdmin(ctx, database, reg); err != nil {
		return nil, err
	}
	return s, nil
}

// Messages returns the texts of the program with the operator's files and choices. Errors
// name the setting.
func Messages(cfg config.Config) (*message.Catalog, error) {
	messages, err := message.New()
	if err != nil {
		return nil, err
	}
	seen := make(map[string]string, len(cfg.LocaleFiles))
	for _, name := range cfg.LocaleFiles {
		locale := filepath.Base(name)
		if other, ok := seen[locale]; ok {
			return nil, fmt.Errorf("locale_files: %s has the locale of %s: remove one of them", name, other)
		}
		seen[locale] = name
		text, err := os.ReadFile(name)
		if err == nil {
			messages, err = messages.WithFile(name, text)
		}
		if err != nil {
			return nil, fmt.Errorf("locale_files: %w", err)
		}
	}
	if messages, err = messages.WithLocaleOfCountry(cfg.LocaleOfCountry); err != nil {
		return nil, fmt.Errorf("locale_of_country: %w", err)
	}
	return messages, nil
}

// assemble creates the engine and the handler of the API listener.
func (s *Server) assemble(reg *prometheus.Registry) (http.Handler, error) {
	cfg := s.opts.Config
	messages, err := Messages(cfg)
	if err != nil {
		return nil, err
	}
	speech := SpeechConfig(cfg.TTS, s.log)
	speech.Recordings = Recordings(s.db)
	if s.speaker, err = tts.New(speech); err != nil {
		return nil, err
	}
	proxies, err := cfg.ProxyPrefixes()
	if err != nil {
		return nil, err
	}
	if err := s.makeCarriers(reg); err != nil {
		return nil, err
	}
	routing := routerConfig(cfg)
	routing.Carriers, routing.Now, routing.Metrics = s.carriers.all, s.opts.Clock.Now, reg
	routing.Protocols = protocols(cfg.Carriers)
	if s.router, err = deliver.NewRouter(routing); err != nil {
		return nil, err
	}
	writer := template.NewWriter(messages, s.db, s.log)
	mayAsk, err := cfg.Outbound.Prefixes()
	if err != nil {
		return nil, err
	}
	limits, caps := policy(cfg), Caps(cfg.Fraud)
	if s.opts.Unlimited {
		limits.RequestsPerSecond, caps = 0, fraud.Caps{Remember: caps.Remember}
	}
	s.caps = caps
	s.makeVelocity(reg)
	s.refused = refusal.New(refusal.Config{Store: s.db, Clock: s.opts.Clock, Log: s.log, Metrics: reg})
	s.engine = engine.New(engine.Config{
		Store: s.db, Router: s.router, Messages: writer, Velocity: s.velocity,
		Clock: s.opts.Clock, Reference: s.reference(), Hold: s.hold(), Report: s.ready.Report, Log: s.log, Metrics: reg,
		Policy: limits, Caps: caps,
		ChargeOnSuccess: cfg.Billing.Charge == config.ChargeSuccess,
	})
	close(s.assembled)
	s.old = retention.New(retention.Config{
		Store: s.db, Clock: s.opts.Clock, Log: s.log, Metrics: reg, Keep: retention.Keep(cfg.Retention), Doubt: s.doubt(),
	})

	lowBalance, err := cfg.Billing.LowBalanceAmount()
	if err != nil {
		return nil, err
	}
	s.balances = billing.NewWatch(billing.WatchConfig{
		Store: s.db, Clock: s.opts.Clock, Log: s.log, Metrics: reg, LowBalance: lowBalance,
	})

	mux := http.NewServeMux()
	mux.HandleFunc("/", apiv1.NotFound)
	v1 := apiv1.Config{
		Engine: s.engine, Messages: messages, Writer: writer,
		Templates: &template.Desk{
			Store: s.db, Messages: messages, Approve: cfg.Templates.Approve, Policy: limits,
			Fetch: outbound.New(outbound.Config{Networks: mayAsk, Ports: cfg.Outbound.Ports}),
		},
		Clock: s.opts.Clock, Drain: s.drain, Report: s.ready.Report, Log: s.log, Metrics: reg,
		Proxies: proxies, FailedLogins: s.failedLogins(proxies, reg), Velocity: s.velocity, Refusals: s.refused,
		BodyBytes: int64(cfg.Limits.BodyBytes), PlatformName: cfg.V1.PlatformName,
		WrongCodeText: cfg.V1.WrongCodeText, TooManyCodesText: cfg.V1.TooManyCodesText, Currency: cfg.Billing.Currency, Speed: s.opts.Speed,
	}
	if s.opts.LogRefusals {
		v1.Refused = s.logRefusal
	}
	apiv1.Register(mux, v1)
	s.receipts(mux)
	if phones := s.carriers.phones; len(phones) > 0 {
		pages, err := s.gate(console.Handler(console.Config{
			Inbox: inbox.New(s.db), Speaker: wavSpeaker{s.speaker}, Watcher: phones[0], Log: s.log, Draining: s.drain.Begun(),
			Delivered: s.engine.Delivered,
		}), pagesListener())
		if err != nil {
			return nil, err
		}
		mux.Handle("/phone", pages)
		mux.Handle("/phone/", pages)
		mux.Handle("GET /{$}", http.RedirectHandler("/phone", http.StatusSeeOther))
	}
	gated, err := s.gate(mux, apiListener())
	if err != nil {
		return nil, err
	}
	return web.Access{
		Log: s.log, Clock: s.opts.Clock, Proxies: proxies, Metrics: reg, NotFound: http.HandlerFunc(apiv1.NotFound),
	}.Wrap(gated), nil
}

// failedLogins returns the delay of failed logins; nil without limits.
func (s *Server) failedLogins(proxies web.Proxies, reg *prometheus.Registry) *web.FailedLogins {
	limits := s.opts.Config.Limits
	if s.opts.Unlimited {
		return nil
	}
	return web.NewFailedLogins(web.FailedLoginsConfig{
		PerMinute: limits.FailedLoginsPerMinute, Delay: limits.FailedLoginDelay,
		Proxies: proxies, Drain: s.drain, Clock: s.opts.Clock, Metrics: reg,
	})
}

// Recordings returns a function that reads recordings of accounts' templates.
func Recordings(db *store.DB) func(ctx context.Context, id string) ([]byte, error) {
	return func(ctx context.Context, id string) ([]byte, error) {
		parsed, ok := verify.ParseID(id)
		if !ok {
			return nil, store.ErrNoTemplate
		}
		return db.Recording(ctx, parsed)
	}
}

// wavSpeaker writes scripts as WAV.
type wavSpeaker struct{ *tts.Speaker }

// WAV writes the spoken script to w.
func (s wavSpeaker) WAV(ctx context.Context, w io.Writer, script message.Script) error {
	samples, err := s.Speak(ctx, script)
	if err != nil {
		return err
	}
	_, err = w.Write(samples.WAV())
	return err
}

// URL returns the URL of the API.
func (s *Server) URL() string { return s.url }

// OpsURL returns the URL of health and metrics; "" if they are not served.
func (s *Server) OpsURL() string { return s.opsURL }

// Store returns the served database.
func (s *Server) Store() *store.DB { return s.db }

// Serve serves until ctx is done. Then it refuses new requests, finishes requests in
// progress, waits for messages in flight to carriers, and closes. Unfinished work resumes
// at the next start.
func (s *Server) Serve(ctx context.Context) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	if err := s.watch(ctx); err != nil {
		s.abandon()
		return err
	}
	s.engine.Resume()
	defer s.runClock(ctx)()
	listenCtx, stopListening := context.WithCancel(context.WithoutCancel(ctx))
	defer stopListening()
	var background sync.WaitGroup
	background.Go(func() { s.db.Listen(listenCtx, s.engine.Wake) })
	background.Go(func() { s.ready.Watch(listenCtx, s.checkFiles) })
	s.old.Start()
	s.balances.Start()
	s.certificates.runner.Start()
	s.refused.Start()
	apiCtx, stopAPI := context.WithCancel(context.WithoutCancel(ctx))
	defer stopAPI()
	defer context.AfterFunc(ctx, func() {
		s.opts.Clock.AfterFunc(s.opts.DrainFor, stopAPI) // before Begin: /readyz then implies a running timer
		s.drain.Begin()
	})()

	// The operators' listeners stop last, so that /readyz can report "stopping".
	opsCtx, stopOps := context.WithCancel(context.WithoutCancel(ctx))
	defer stopOps()
	operators := []listener{s.ops, s.admin}
	served := make(chan error, len(operators))
	for _, l := range operators {
		if l.Listener == nil {
			served <- nil
			continue
		}
		go func() {
			defer cancel() // a failed listener stops the server
			served <- web.Serve(opsCtx, l.server, l, time.Second)
		}()
	}
	errs := []error{web.Serve(apiCtx, s.api.server, s.api, grace)}
	stopOps()
	for range operators {
		errs = append(errs, <-served)
	}

	stopListening()
	background.Wait()
	stop, cancelStop := context.WithTimeout(context.WithoutCancel(ctx), grace)
	defer cancelStop()
	s.old.Stop()
	s.balances.Stop()
	s.certificates.runner.Stop()
	errs = append(errs, s.engine.Stop(stop), s.carriers.stop(stop), s.velocity.Stop(stop), s.refused.Stop(stop))
	s.api, s.ops, s.admin = listener{}, listener{}, listener{} // closed
	return errors.Join(append(errs, s.Close())...)
}

// abandon closes a server that failed to start. Its own errors are logged at debug level,
// since they follow from the failure that the caller reports.
func (s *Server) abandon() {
	if err := s.Close(); err != nil {
		s.log.Debug("close after a failed start", "error", err)
	}
}

// Close releases the resources of New. Serve calls it.
func (s *Server) Close() error {
	var errs []error
	for _, l := range []listener{s.api, s.ops, s.admin} {
		if l.Listener != nil {
			errs = append(errs, l.Close())
		}
	}
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	errs = append(errs, s.carriers.stop(ctx))
	if s.ready != nil {
		s.ready.Stop()
	}
	if s.db != nil {
		errs = append(errs, s.db.Close())
	}
	return errors.Join(errs...)
}
