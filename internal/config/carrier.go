package config

import (
	"errors"
	"fmt"
	"maps"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"countersign/internal/suggest"
	"countersign/internal/verify"
)

// The types of carriers.
const (
	CarrierVirtual = "virtual" // the phone in the browser
	CarrierSMPP    = "smpp"    // an SMSC
	CarrierHTTPSMS = "httpsms" // an HTTP gateway
	CarrierSIP     = "sip"     // a SIP trunk, for calls
	CarrierSink    = "sink"    // nobody, for load tests
)

// CarrierTypes returns the types of carriers.
func CarrierTypes() []string {
	return []string{CarrierVirtual, CarrierSMPP, CarrierHTTPSMS, CarrierSIP, CarrierSink}
}

// Carrier is somebody who delivers messages. What is empty or 0 below has the
// carrier's own default.
type Carrier struct {
	Name    string           `yaml:"name"`   // as routes call it: letters, digits, "-" and "_"
	Type    string           `yaml:"type"`   // one of [CarrierTypes]
	Refuse  []verify.Channel `yaml:"refuse"` // virtual: channels it always refuses, to rehearse a failure
	Virtual Virtual          `yaml:"virtual"`
	Record  string           `yaml:"record"` // sink: path of a file that is told when a message to which number came; "" for none
	SMPP    SMPP             `yaml:"smpp"`
	HTTP    HTTP             `yaml:"http"`
	SIP     SIP              `yaml:"sip"`
}

// Virtual holds the settings of the virtual phone.
type Virtual struct {
	// Public allows /phone, which shows every code without a login, where others may
	// reach it: see [Config.PhoneExposed].
	Public bool `yaml:"public"`
}

// SMPP says how to bind to an SMSC, and what it wants of a message.
type SMPP struct {
	Addresses     []string `yaml:"addresses"`       // host:port; the binds spread over them
	TLS           bool     `yaml:"tls"`             // speak TLS
	TLSCA         string   `yaml:"tls_ca"`          // path of the PEM file of who signed the SMSC's certificate; "" for those of the system
	TLSServerName string   `yaml:"tls_server_name"` // that the certificate must have; "" for the host of the address

	SystemID     string `yaml:"system_id"`
	Password     string `yaml:"password"`
	PasswordFile string `yaml:"password_file"` // path of a file that holds the password
	SystemType   string `yaml:"system_type"`
	AddressRange string `yaml:"address_range"`
	ServiceType  string `yaml:"service_type"`

	Mode   string `yaml:"mode"`   // transceiver, split or transmitter
	Binds  int    `yaml:"binds"`  // connections, in split mode of each kind
	Window int    `yaml:"window"` // messages without an answer on each bind
	Rate   int    `yaml:"rate"`   // messages a second over all binds; 0 for no limit

	BindTimeout     time.Duration `yaml:"bind_timeout"`
	ResponseTimeout time.Duration `yaml:"response_timeout"`
	EnquireInterval time.Duration `yaml:"enquire_interval"`

	Alphabet       string   `yaml:"alphabet"`        // gsm, latin1 or ucs2: tried before UCS-2
	NationalTables []string `yaml:"national_tables"` // languages such as tr, es, pt
	Concat         string   `yaml:"concat"`          // udh, sar or message_payload
	WideReference  bool     `yaml:"wide_reference"`  // 16 bits in the header of parts
	Validity       string   `yaml:"validity"`        // relative, absolute or none
	Senders        []Sender `yaml:"senders"`
	TLVs           []TLV    `yaml:"tlvs"` // optional parameters of every message

	SourceTON      string `yaml:"source_ton"` // numbers in place of what follows from the address
	SourceNPI      string `yaml:"source_npi"`
	DestinationTON string `yaml:"destination_ton"`
	DestinationNPI string `yaml:"destination_npi"`

	Statuses map[string]string `yaml:"statuses"` // reaction by command_status: "0x0B": temporary

	NoReceipts bool   `yaml:"no_receipts"` // do not ask for receipts
	MessageID  string `yaml:"message_id"`  // same, hex-to-decimal or decimal-to-hex

	MessageIDScope     string `yaml:"message_id_scope"`     // address or carrier: where ids are unique
	ReceiptsInMessages bool   `yaml:"receipts_in_messages"` // read plain messages as receipts
}

// Sender is a rule about the sender of messages. The first that fits decides.
type Sender struct {
	Country string `yaml:"country"` // of the destination, ISO 3166-1 alpha-2; "" for all
	Asked   string `yaml:"asked"`   // sender that the application asked for; "" for all
	Sender  string `yaml:"sender"`  // in its place; "" to keep it
}

// TLV is an optional parameter that a carrier wants in every message.
type TLV struct {
	Tag   string `yaml:"tag"`   // such as 0x1400
	Type  string `yaml:"type"`  // cstring, text, hex, uint8, uint16 or uint32; "" for cstring
	Value string `yaml:"value"` // may have placeholders
}

// HTTP says how to call an HTTP gateway, and how to read what it answers.
type HTTP struct {
	URL               string        `yaml:"url"`
	Method            string        `yaml:"method"`
	Headers           []string      `yaml:"headers"` // "Name: value"
	BasicUser         string        `yaml:"basic_user"`
	BasicPassword     string        `yaml:"basic_password"`
	BasicPasswordFile string        `yaml:"basic_password_file"` // path of a file that holds it
	Body              string        `yaml:"body"`
	Success           []string      `yaml:"success"`   // conditions of an answer that accepts
	Temporary         []string      `yaml:"temporary"` // of one that says: again
	Ref               string        `yaml:"ref"`       // path of the message id in the answer
	Timeout           time.Duration `yaml:"timeout"`
	Concurrency       int           `yaml:"concurrency"`
	Rate              int           `yaml:"rate"` // messages a second; 0 for no limit
	Receipts          HTTPReceipts  `yaml:"receipts"`
}

// HTTPReceipts says how the gateway reports at /carriers/NAME/receipts.
type HTTPReceipts struct {
	Secret string   `yaml:"secret"` // that a report must show; "" for no reports
	Ref    string   `yaml:"ref"`
	Status string   `yaml:"status"`
	Error  string   `yaml:"error"`
	States []string `yaml:"states"` // "word=state"
}

func (c Carrier) validate(key string, p *problems) {
	for j, channel := range c.Refuse {
		p.add(index(key+".refuse", j), checkChannel(channel))
	}
	if strings.Trim(c.Name, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_") != "" {
		p.addf(key+".name", "must be letters, digits, - and _, not %q", c.Name)
	}
	p.add(key+".type", oneOf(c.Type, CarrierTypes()...))
	switch c.Type {
	case CarrierSMPP:
		c.SMPP.validate(key+".smpp", p)
	case CarrierHTTPSMS:
		c.HTTP.validate(key+".http", p)
	case CarrierSIP:
		c.SIP.validate(key+".sip", p)
	}
	if c.Virtual.Public && c.Type != CarrierVirtual {
		p.addf(key+".virtual.public", "is of type %s only", CarrierVirtual)
	}
	if c.Record != "" && c.Type != CarrierSink {
		p.addf(key+".record", "is of type %s only", CarrierSink)
	}
}

func (s SMPP) validate(key string, p *problems) {
	if len(s.Addresses) == 0 {
		p.addf(key+".addresses", "must be given")
	}
	for i, address := range s.Addresses {
		p.add(index(key+".addresses", i), checkAddress(address))
	}
	if !s.TLS && (s.TLSCA != "" || s.TLSServerName != "") {
		p.addf(key+".tls", "must be true where tls_ca or tls_server_name is given")
	}
	if s.Password != "" && s.PasswordFile != "" {
		p.addf(key+".password_file", "must not be given with password")
	}
	checkWord(p, key+".mode", s.Mode, "transceiver", "split", "transmitter")
	checkWord(p, key+".alphabet", s.Alphabet, "gsm", "latin1", "ucs2")
	checkWord(p, key+".concat", s.Concat, "udh", "sar", "message_payload")
	checkWord(p, key+".validity", s.Validity, "relative", "absolute", "none")
	checkWord(p, key+".message_id", s.MessageID, "same", "hex-to-decimal", "decimal-to-hex")
	checkWord(p, key+".message_id_scope", s.MessageIDScope, "address", "carrier")
	for i, sender := range s.Senders {
		p.add(index(key+".senders", i)+".country", checkCountry(sender.Country))
	}
	checkStatuses(p, key+".statuses", s.Statuses)
	for i, tlv := range s.TLVs {
		if _, err := Tag(tlv.Tag); err != nil {
			p.add(index(key+".tlvs", i)+".tag", err)
		}
		checkWord(p, index(key+".tlvs", i)+".type", tlv.Type, "cstring", "text", "hex", "uint8", "uint16", "uint32")
	}
	for name, v := range map[string]string{
		"source_ton": s.SourceTON, "source_npi": s.SourceNPI,
		"destination_ton": s.DestinationTON, "destination_npi": s.DestinationNPI,
	} {
		if _, err := Octet(v); err != nil {
			p.add(key+"."+name, err)
		}
	}
}

func (h HTTP) validate(key string, p *problems) {
	if u, err := url.Parse(h.URL); h.URL == "" {
		p.addf(key+".url", "must be given")
	} else if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" {
		p.addf(key+".url", "must be an http or https URL")
	}
	if h.BasicPassword != "" && h.BasicPasswordFile != "" {
		p.addf(key+".basic_password_file", "must not be given with basic_password")
	}
}

// Octet reads a number of 0 to 255, or nil for "".
func Octet(s string) (*uint8, error) {
	if s == "" {
		return nil, nil //nolint:nilnil // nothing is given, which is no error
	}
	n, err := strconv.ParseUint(s, 10, 8)
	if err != nil {
		return nil, fmt.Errorf("must be 0 to 255, not %q", s)
	}
	octet := uint8(n)
	return &octet, nil
}

// Tag reads the tag of an optional parameter, in hexadecimal (0x1400) or decimal.
func Tag(s string) (uint16, error) {
	n, err := strconv.ParseUint(s, 0, 16)
	if err != nil || n == 0 {
		return 0, fmt.Errorf("must be 0x0001 to 0xFFFF, not %q", s)
	}
	return uint16(n), nil
}

// checkWord refuses a word that is neither empty nor one of those.
func checkWord(p *problems, key, word string, words ...string) {
	if word != "" {
		p.add(key, oneOf(word, words...))
	}
}

// checkStatuses refuses keys that are no command_status, numbers given twice in two
// notations, and unknown classes. Keys may be names such as ESME_RINVDSTADR; whether
// a name exists is checked where the carrier is made.
func checkStatuses(p *problems, key string, statuses map[string]string) {
	seen := map[uint64]string{}
	for _, name := range slices.Sorted(maps.Keys(statuses)) {
		if !strings.HasPrefix(name, "ESME_") {
			n, err := strconv.ParseUint(name, 0, 32)
			if err != nil || n == 0 {
				p.addf(key+"."+name, "must be an error status such as 0x0B or ESME_RINVDSTADR")
			} else if first, twice := seen[n]; twice {
				p.addf(key+"."+name, "is the same status as %s", first)
			}
			seen[n] = name
		}
		if statuses[name] == "" {
			p.addf(key+"."+name, "must be temporary, throttled, final, number or bind")
		}
		checkWord(p, key+"."+name, statuses[name], "temporary", "throttled", "final", "number", "bind")
	}
}

func checkCountry(code string) error {
	if code == "" || len(code) == 2 && strings.Trim(code, "ABCDEFGHIJKLMNOPQRSTUVWXYZ") == "" {
		return nil
	}
	return fmt.Errorf("must be two capital letters such as GB, not %q", code)
}

var errWeights = errors.New("must be as many as carriers, and not all 0")

func (r Route) validate(key string, c Config, p *problems) {
	p.add(key+".prefix", checkDigits(r.Prefix))
	p.add(key+".country", checkCountry(r.Country))
	if r.Channel != "" {
		p.add(key+".channel", checkChannel(r.Channel))
	}
	var networks []string
	for _, network := range c.Networks.Known {
		networks = append(networks, network.Name)
	}
	if r.Network != "" && !slices.Contains(networks, r.Network) {
		p.addf(key+".network", "there is no network %q under networks.known%s", r.Network, suggest.Hint(r.Network, networks))
	}
	for j, name := range r.Carriers {
		if names := c.CarrierNames(); !slices.Contains(names, name) {
			p.addf(index(key+".carriers", j), "there is no carrier %q%s", name, suggest.Hint(name, names))
		}
		if slices.Contains(r.Carriers[:j], name) {
			p.addf(index(key+".carriers", j), "%q is there twice", name)
		}
	}
	if len(r.Weights) > 0 && (len(r.Weights) != len(r.Carriers) || slices.Max(r.Weights) == 0) {
		p.add(key+".weights", errWeights)
	}
}
