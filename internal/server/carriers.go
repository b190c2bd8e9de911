package server

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"os"
	"strings"

	"github.com/prometheus/client_golang/prometheus"

	"countersign/internal/config"
	"countersign/internal/deliver"
	"countersign/internal/deliver/gsm"
	"countersign/internal/deliver/httpsms"
	"countersign/internal/deliver/sip"
	"countersign/internal/deliver/sip/media"
	"countersign/internal/deliver/smpp"
	"countersign/internal/deliver/smpp/pdu"
	"countersign/internal/deliver/tts"
	"countersign/internal/deliver/virtual"
	"countersign/internal/fraud"
)

// carriers contains the carriers of the configuration by name, and their resources
// besides sending.
type carriers struct {
	all    map[string]deliver.Carrier
	types  map[string]string
	phones []*virtual.Phone
	paths  map[string]http.Handler // receipt handlers, by carrier
	close  []func(context.Context) error

	prefixes *sip.PrefixLimit // shared by all trunks; nil without a limit
}

// makeCarriers creates the carriers of the configuration, which then start to connect.
func (s *Server) makeCarriers(reg prometheus.Registerer) error {
	s.carriers = carriers{
		all: map[string]deliver.Carrier{}, types: map[string]string{}, paths: map[string]http.Handler{},
	}
	if most := s.opts.Config.Fraud.Voice.PrefixCalls; most > 0 {
		s.carriers.prefixes = sip.NewPrefixLimit(most, fraud.PrefixDigits)
	}
	for i, c := range s.opts.Config.Carriers {
		s.carriers.types[c.Name] = c.Type
		err := s.makeCarrier(c, reg)
		if op, ok := errors.AsType[*net.OpError](err); ok && op.Op == "listen" {
			return listenError(fmt.Sprintf("carriers[%d].sip.listen", i), c.SIP.Listen, err)
		}
		if err != nil {
			return fmt.Errorf("carriers[%d]: %w", i, err)
		}
	}
	return nil
}

func (s *Server) makeCarrier(c config.Carrier, reg prometheus.Registerer) error {
	t := CarrierTypeOf(c)
	if t.make == nil {
		return fmt.Errorf("type %q is unknown", c.Type)
	}
	carrier, err := t.make(s, c, reg)
	if err != nil {
		return err
	}
	s.carriers.all[c.Name] = carrier
	return nil
}

// reports returns the callbacks of carriers to the engine. A callback blocks until the
// engine exists, since carriers are created before it.
func (s *Server) reports() deliver.Reports {
	ready := func(ctx context.Context) error {
		select {
		case <-s.assembled:
			return nil
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	return deliver.Reports{
		Receipt: func(ctx context.Context, r deliver.Receipt) error {
			if err := ready(ctx); err != nil {
				return err
			}
			return s.engine.Receipt(ctx, r)
		},
		Answer: func(ctx context.Context, a deliver.Answer) error {
			if err := ready(ctx); err != nil {
				return err
			}
			return s.engine.Answer(ctx, a)
		},
	}
}

// wanted reports whether a phone should keep ringing; true before the engine exists.
func (s *Server) wanted(ctx context.Context, m deliver.Message) bool {
	select {
	case <-s.assembled:
		return s.engine.Wanted(ctx, m)
	default:
		return true
	}
}

// status returns the status of all carriers.
func (s *Server) status() []deliver.CarrierStatus {
	list := s.router.Status()
	for i := range list {
		list[i].Type = s.carriers.types[list[i].Name]
	}
	return list
}

// receipts serves /carriers/{name}/receipts.
func (s *Server) receipts(mux *http.ServeMux) {
	for name, handler := range s.carriers.paths {
		mux.Handle("/carriers/"+name+"/receipts", handler)
	}
}

func (c *carriers) stop(ctx context.Context) error {
	var errs []error
	for _, closeCarrier := range c.close {
		errs = append(errs, closeCarrier(ctx))
	}
	c.close = nil
	return errors.Join(errs...)
}

// SMPPConfig returns the settings of a carrier for package smpp. It reads the files in
// the settings.
func SMPPConfig(c config.Carrier) (smpp.Config, error) {
	s := c.SMPP
	cfg := smpp.Config{
		Name: c.Name, Addresses: s.Addresses, SystemID: s.SystemID,
		SystemType: s.SystemType, AddressRange: s.AddressRange, ServiceType: s.ServiceType,
		Mode: smpp.Mode(s.Mode), Binds: s.Binds, Window: s.Window, Rate: float64(s.Rate),
		BindTimeout: s.BindTimeout, ResponseTimeout: s.ResponseTimeout, EnquireInterval: s.EnquireInterval,
		Concat: smpp.Concat(s.Concat), WideReference: s.WideReference, Validity: smpp.Validity(s.Validity),
		NoReceipts: s.NoReceipts, IDForm: smpp.IDForm(s.MessageID),
		IDScope: smpp.IDScope(s.MessageIDScope), ReceiptsInMessages: s.ReceiptsInMessages,
	}
	switch s.Alphabet {
	case "latin1":
		cfg.Alphabet = gsm.Latin1
	case "ucs2":
		cfg.Alphabet = gsm.UCS2
	}
	for i, code := range s.NationalTables {
		language, err := gsm.ParseLanguage(code)
		if err != nil {
			return cfg, fmt.Errorf("smpp.national_tables[%d]: %w", i, err)
		}
		cfg.Languages = append(cfg.Languages, language)
	}
	for name, class := range s.Statuses {
		status, err := pdu.ParseStatus(name)
		if err != nil {
			return cfg, fmt.Errorf("smpp.statuses.%s: %w", name, err)
		}
		if _, twice := cfg.Statuses[status]; twice {
			return cfg, fmt.Errorf("smpp.statuses.%s: %s is given twice", name, status)
		}
		if cfg.Statuses == nil {
			cfg.Statuses = map[pdu.Status]smpp.Class{}
		}
		cfg.Statuses[status] = smpp.Class(class)
	}
	for _, rule := range s.Senders {
		cfg.Senders = append(cfg.Senders, smpp.SenderRule(rule))
	}
	for i, t := range s.TLVs {
		tag, err := config.Tag(t.Tag)
		if err != nil {
			return cfg, fmt.Errorf("smpp.tlvs[%d].tag: %w", i, err)
		}
		cfg.TLVs = append(cfg.TLVs, smpp.TLV{Tag: tag, Type: smpp.TLVType(t.Type), Value: t.Value})
	}
	var errs [6]error
	cfg.SourceTON, errs[0] = config.Octet(s.SourceTON)
	cfg.SourceNPI, errs[1] = config.Octet(s.SourceNPI)
	cfg.DestinationTON, errs[2] = config.Octet(s.DestinationTON)
	cfg.DestinationNPI, errs[3] = config.Octet(s.DestinationNPI)
	cfg.Password, errs[4] = secret("smpp.password_file", s.Password, s.PasswordFile)
	if s.TLS {
		cfg.TLS, errs[5] = clientTLS("smpp.tls_ca", s.TLSCA, s.TLSServerName)
	}
	return cfg, errors.Join(errs[:]...)
}

// SIPConfig returns the settings of a carrier for package sip. It reads the files in the
// settings.
func SIPConfig(c config.Carrier) (sip.Config, error) {
	s := c.SIP
	cfg := sip.Config{
		Name: c.Name, Host: s.Host, Transport: s.Transport, OutboundProxy: s.OutboundProxy,
		User: s.User, Register: s.Register, RegisterEvery: s.RegisterEvery,
		Listen: s.Listen, Latch: media.Latch(s.RTPLatch), SRTP: s.SRTP, DigitsOnly: s.DigitsOnly,
		Countries: s.Countries, AllowPrefixes: s.AllowPrefixes,
		MaxCalls: s.MaxCalls, CallsPerSecond: float64(s.CallsPerSecond),
		FirstResponse: s.FirstResponse, RingTimeout: s.RingTimeout, MaxDuration: s.MaxDuration,
	}
	for _, id := range s.CallerIDs {
		cfg.CallerIDs = append(cfg.CallerIDs, sip.CallerID(id))
	}
	var errs [5]error
	cfg.Advertise, errs[0] = s.AdvertisedAddress()
	cfg.FirstPort, cfg.LastPort, errs[1] = s.RTPRange()
	cfg.Password, errs[2] = secret("sip.password_file", s.Password, s.PasswordFile)
	cfg.AllowFrom, errs[4] = s.AllowedSources()
	if s.Transport == "tls" {
		name := s.TLSServerName
		if name == "" {
			name, _, _ = strings.Cut(s.Host, ":")
		}
		cfg.TLS, errs[3] = clientTLS("sip.tls_ca", s.TLSCA, name)
	}
	return cfg, errors.Join(errs[:]...)
}

// SpeechConfig returns the settings of speech synthesis.
func SpeechConfig(c config.TTS, log *slog.Logger) tts.Config {
	voices := make(map[string]string, len(c.Voices))
	for _, v := range c.Voices {
		voices[v.Locale] = v.Name
	}
	return tts.Config{
		Espeak: c.Espeak, Command: c.Command, Voices: voices, Digits: c.Digits,
		Timeout: c.Timeout, Processes: c.Processes, Memory: uint64(c.MemoryMB) << 20,
		Logger: log,
	}
}

// clientTLS returns the TLS settings for a carrier. ca is the path of a PEM file, from
// the setting key; "" selects the system CAs.
func clientTLS(key, ca, serverName string) (*tls.Config, error) {
	cfg := &tls.Config{MinVersion: tls.VersionTLS12, ServerName: serverName}
	if ca == "" {
		return cfg, nil
	}
	pem, err := os.ReadFile(ca)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", key, err)
	}
	cfg.RootCAs = x509.NewCertPool()
	if !cfg.RootCAs.AppendCertsFromPEM(pem) {
		return nil, fmt.Errorf("%s: no certificate in %s", key, ca)
	}
	return cfg, nil
}

// HTTPConfig returns the settings of a carrier for package httpsms. It reads the password file.
func HTTPConfig(c config.Carrier) (httpsms.Config, error) {
	h := c.HTTP
	password, err := secret("http.basic_password_file", h.BasicPassword, h.BasicPasswordFile)
	return httpsms.Config{
		Name: c.Name, URL: h.URL, Method: h.Method, Headers: h.Headers,
		BasicUser: h.BasicUser, BasicPassword: password, Body: h.Body,
		Success: h.Success, Temporary: h.Temporary, Ref: h.Ref,
		Receipts: httpsms.ReceiptConfig(h.Receipts),
		Timeout:  h.Timeout, Concurrency: h.Concurrency, Rate: float64(h.Rate),
	}, err
}

// secret returns a value of the configuration, or the content of its file.
func secret(key, value, file string) (string, error) {
	if file == "" {
		return value, nil
	}
	text, err := os.ReadFile(file)
	if err != nil {
		return "", fmt.Errorf("%s: %w", key, err)
	}
	return strings.TrimRight(string(text), "\r\n"), nil
}

func routerConfig(cfg config.Config) deliver.RouterConfig {
	r := deliver.RouterConfig{RequireMedia: cfg.Voice.RequireMedia}
	for _, route := range cfg.Routes {
		r.Routes = append(r.Routes, deliver.Route(route))
	}
	for _, network := range cfg.Networks.Known {
		r.Networks = append(r.Networks, deliver.Network(network))
	}
	return r
}
