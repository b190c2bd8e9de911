package server

import (
	"cmp"
	"context"
	"log/slog"
	"slices"

	"github.com/prometheus/client_golang/prometheus"

	"countersign/internal/config"
	"countersign/internal/deliver"
	"countersign/internal/deliver/httpsms"
	"countersign/internal/deliver/sink"
	"countersign/internal/deliver/sip"
	"countersign/internal/deliver/smpp"
	"countersign/internal/deliver/virtual"
	"countersign/internal/inbox"
	"countersign/internal/verify"
)

// CarrierType describes the carriers of a type in the configuration.
type CarrierType struct {
	Name     string           // value of carriers[].type
	Protocol string           // label of metrics
	Channels []verify.Channel // channels of accepted messages; nil for all
	Internal bool             // messages stay in the program: for demonstrations and load tests
	Silent   bool             // scripts are not spoken

	// Check reads the files in the settings of a carrier, and applies the rules of its
	// package. Nil means no rules.
	Check func(context.Context, config.Carrier, *slog.Logger) error

	make  func(*Server, config.Carrier, prometheus.Registerer) (deliver.Carrier, error)
	files func(config.Carrier) int // upper estimate of the open files of one carrier; nil means 0
}

// CarrierTypes returns the table of carrier types, one row for each type that the
// configuration accepts.
func CarrierTypes() []CarrierType {
	return []CarrierType{
		{
			Name: config.CarrierVirtual, Protocol: "virtual", Channels: virtual.Channels(), Internal: true,
			make: (*Server).makeVirtual,
		},
		{
			Name: config.CarrierSMPP, Protocol: "smpp", Channels: smpp.Channels(),
			Check: checkSMPP, make: (*Server).makeSMPP,
			files: func(c config.Carrier) int { return 2 * max(c.SMPP.Binds, 1) }, // two per bind in split mode
		},
		{
			Name: config.CarrierHTTPSMS, Protocol: "http", Channels: httpsms.Channels(),
			Check: checkHTTP, make: (*Server).makeHTTP,
			files: func(c config.Carrier) int { return cmp.Or(c.HTTP.Concurrency, defaultConcurrency) },
		},
		{
			Name: config.CarrierSIP, Protocol: "sip", Channels: sip.Channels(),
			Check: checkSIP, make: (*Server).makeSIP,
			files: func(c config.Carrier) int { return trunkFiles + callFiles*cmp.Or(c.SIP.MaxCalls, defaultCalls) },
		},
		{
			Name: config.CarrierSink, Protocol: "sink", Internal: true, Silent: true,
			make: (*Server).makeSink,
		},
	}
}

// CarrierTypeOf returns the type of a carrier; the zero value for an unknown type.
func CarrierTypeOf(c config.Carrier) CarrierType {
	for _, t := range CarrierTypes() {
		if t.Name == c.Type {
			return t
		}
	}
	return CarrierType{}
}

// Takes reports whether carriers of type t accept messages of a channel.
func (t CarrierType) Takes(channel verify.Channel) bool {
	return t.Channels == nil || slices.Contains(t.Channels, channel)
}

func (s *Server) makeVirtual(c config.Carrier, _ prometheus.Registerer) (deliver.Carrier, error) {
	phone := virtual.New(virtual.Config{Name: c.Name, Inbox: inbox.New(s.db), Refuse: c.Refuse, Now: s.opts.Clock.Now})
	s.carriers.phones = append(s.carriers.phones, phone)
	return phone, nil
}

func (s *Server) makeSMPP(c config.Carrier, reg prometheus.Registerer) (deliver.Carrier, error) {
	cfg, err := SMPPConfig(c)
	if err != nil {
		return nil, err
	}
	cfg.Reports, cfg.Log, cfg.Metrics = s.reports(), s.log, reg
	carrier, err := smpp.New(cfg)
	if err != nil {
		return nil, err
	}
	s.carriers.close = append(s.carriers.close, func(context.Context) error { return carrier.Close() })
	return carrier, nil
}

func (s *Server) makeHTTP(c config.Carrier, _ prometheus.Registerer) (deliver.Carrier, error) {
	cfg, err := HTTPConfig(c)
	if err != nil {
		return nil, err
	}
	cfg.Reports, cfg.Log = s.reports(), s.log
	gateway, err := httpsms.New(cfg)
	if err != nil {
		return nil, err
	}
	s.carriers.paths[c.Name] = gateway.ReceiptHandler()
	s.carriers.close = append(s.carriers.close, gateway.Close)
	return gateway, nil
}

func (s *Server) makeSIP(c config.Carrier, reg prometheus.Registerer) (deliver.Carrier, error) {
	cfg, err := SIPConfig(c)
	if err != nil {
		return nil, err
	}
	cfg.Speaker, cfg.Wanted, cfg.Prefixes = s.speaker, s.wanted, s.carriers.prefixes
	cfg.Reports, cfg.Log, cfg.Metrics = s.reports(), s.log, reg
	carrier, err := sip.New(cfg)
	if err != nil {
		return nil, err
	}
	s.carriers.close = append(s.carriers.close, carrier.Shutdown)
	return carrier, nil
}

func (s *Server) makeSink(c config.Carrier, _ prometheus.Registerer) (deliver.Carrier, error) {
	carrier, err := sink.New(sink.Config{Name: c.Name, Record: c.Record})
	if err != nil {
		return nil, err
	}
	s.log.Warn("carrier of type sink discards all messages; use it for load tests only", "carrier", c.Name)
	s.carriers.close = append(s.carriers.close, func(context.Context) error { return carrier.Close() })
	return carrier, nil
}

func checkSMPP(_ context.Context, c config.Carrier, _ *slog.Logger) error {
	_, err := SMPPConfig(c)
	return err
}

func checkSIP(_ context.Context, c config.Carrier, _ *slog.Logger) error {
	_, err := SIPConfig(c)
	return err
}

func checkHTTP(ctx context.Context, c config.Carrier, log *slog.Logger) error {
	cfg, err := HTTPConfig(c)
	if err != nil {
		return err
	}
	cfg.Log, cfg.Reports = log, deliver.NoReports()
	gateway, err := httpsms.New(cfg)
	if err != nil {
		return err
	}
	return gateway.Close(ctx)
}
