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
	CarrierSink    = "sink"    // discards messages, for load tests
)

// CarrierTypes returns the types of carriers.
func CarrierTypes() []string {
	return []string{CarrierVirtual, CarrierSMPP, CarrierHTTPSMS, CarrierSIP, CarrierSink}
}

// Carrier configures a carrier, which delivers messages. Empty and zero values select
// the defaults of the carrier's package.
type Carrier struct {
	Name    string           `yaml:"name"`   // name for routes: letters, digits, "-" and "_"
	Type    string           `yaml:"type"`   // one of [CarrierTypes]
	Refuse  []verify.Channel `yaml:"refuse"` // virtual: channels that are always refused, to rehearse a failure
	Virtual Virtual          `yaml:"virtual"`
	Record  string           `yaml:"record"` // sink: path of a file that records number and time of messages; "" for none
	SMPP    SMPP             `yaml:"smpp"`
	HTTP    HTTP             `yaml:"http"`
	SIP     SIP              `yaml:"sip"`
}

// Virtual holds the settings of the virtual phone.
type Virtual struct {
	// Public permits /phone, which shows every code without a login, on an address that
	// other machines can reach; see [Config.PhoneExposed].
	Public bool `yaml:"public"`
}

// SMPP configures the binds to an SMSC and the format of messages.
type SMPP struct {
	Addresses     []string `yaml:"addresses"`       // host:port; binds are distributed over them
	TLS           bool     `yaml:"tls"`             // use TLS
	TLSCA         string   `yaml:"tls_ca"`          // path of CA certificates (PEM); "" for the system CAs
	TLSServerName string   `yaml:"tls_server_name"` // required name in the certificate; "" for the host of the address

	SystemID     string `yaml:"system_id"`
	Password     string `yaml:"password"`
	PasswordFile string `yaml:"password_file"` // path of a file with the password
	SystemType   string `yaml:"system_type"`
	AddressRange string `yaml:"address_range"`
	ServiceType  string `yaml:"service_type"`

	Mode   string `yaml:"mode"`   // transceiver, split or transmitter
	Binds  int    `yaml:"binds"`  // connections; in split mode, pairs of connections
	Window int    `yaml:"window"` // unacknowledged messages per bind
	Rate   int    `yaml:"rate"`   // messages per second over all binds; 0 for no limit

	BindTimeout     time.Duration `yaml:"bind_timeout"`
	ResponseTimeout time.Duration `yaml:"response_timeout"`
	EnquireInterval time.Duration `yaml:"enquire_interval"`

	Alphabet       string   `yaml:"alphabet"`        // gsm, latin1 or ucs2; texts that do not fit use UCS-2
	NationalTables []string `yaml:"national_tables"` // languages such as tr, es, pt
	Concat         string   `yaml:"concat"`          // udh, sar or message_payload
	WideReference  bool     `yaml:"wide_reference"`  // 16-bit reference numbers in the headers of parts
	Validity       string   `yaml:"validity"`        // relative, absolute or none
	Senders        []Sender `yaml:"senders"`
	TLVs           []TLV    `yaml:"tlvs"` // optional parameters of every message

	SourceTON      string `yaml:"source_ton"` // 0 to 255; "" to derive it from the address, as for the next three
	SourceNPI      string `yaml:"source_npi"`
	DestinationTON string `yaml:"destination_ton"`
	DestinationNPI string `yaml:"destination_npi"`

	Statuses map[string]string `yaml:"statuses"` // reaction by command_status: "0x0B": temporary

	NoReceipts bool   `yaml:"no_receipts"` // do not ask for receipts
	MessageID  string `yaml:"message_id"`  // same, hex-to-decimal or decimal-to-hex

	MessageIDScope     string `yaml:"message_id_scope"`     // address or carrier: scope in which ids are unique
	ReceiptsInMessages bool   `yaml:"receipts_in_messages"` // parse plain messages as receipts
}

// Sender is a rule that replaces the sender of messages. The first match is used.
type Sender struct {
	Country string `yaml:"country"` // country of the destination, ISO 3166-1 alpha-2; "" for all
	Asked   string `yaml:"asked"`   // sender requested by the application; "" for all
	Sender  string `yaml:"sender"`  // replacement; "" to keep the requested one
}

// TLV is an optional parameter that is added to every message.
type TLV struct {
	Tag   string `yaml:"tag"`   // such as 0x1400
	Type  string `yaml:"type"`  // cstring, text, hex, uint8, uint16 or uint32; "" for cstring
	Value string `yaml:"value"` // may contain placeholders
}

// HTTP configures the requests to an HTTP gateway and the evaluation of its responses.
type HTTP struct {
	URL               string        `yaml:"url"`
	Method            string        `yaml:"method"`
	Headers           []string      `yaml:"headers"` // "Name: value"
	BasicUser         string        `yaml:"basic_user"`
	BasicPassword     string        `yaml:"basic_password"`
	BasicPasswordFile string        `yaml:"basic_password_file"` // path of a file with the password
	Body              string        `yaml:"body"`
	Success           []string      `yaml:"success"`   // conditions for an accepted message
	Temporary         []string      `yaml:"temporary"` // conditions for a temporary failure
	Ref               string        `yaml:"ref"`       // path of the message id in the response
	Timeout           time.Duration `yaml:"timeout"`
	Concurrency       int           `yaml:"concurrency"`
	Rate              int           `yaml:"rate"` // messages per second; 0 for no limit
	Receipts          HTTPReceipts  `yaml:"receipts"`
}

// HTTPReceipts configures the receipts at /carriers/NAME/receipts.
type HTTPReceipts struct {
	Secret string   `yaml:"secret"` // secret that a receipt must contain; "" to disable receipts
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
		p.addf(key+".virtual.public", "is only allowed for type %s", CarrierVirtual)
	}
	if c.Record != "" && c.Type != CarrierSink {
		p.addf(key+".record", "is only allowed for type %s", CarrierSink)
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
		p.addf(key+".tls", "must be true if tls_ca or tls_server_name is given")
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

// Octet parses a number of 0 to 255; it returns nil for "".
func Octet(s string) (*uint8, error) {
	if s == "" {
		return nil, nil //nolint:nilnil // the setting is optional
	}
	n, err := strconv.ParseUint(s, 10, 8)
	if err != nil {
		return nil, fmt.Errorf("must be 0 to 255, not %q", s)
	}
	octet := uint8(n)
	return &octet, nil
}

// Tag parses the tag of an optional parameter, in hexadecimal (0x1400) or decimal.
func Tag(s string) (uint16, error) {
	n, err := strconv.ParseUint(s, 0, 16)
	if err != nil || n == 0 {
		return 0, fmt.Errorf("must be 0x0001 to 0xFFFF, not %q", s)
	}
	return uint16(n), nil
}

// checkWord reports a word that is neither empty nor one of words.
func checkWord(p *problems, key, word string, words ...string) {
	if word != "" {
		p.add(key, oneOf(word, words...))
	}
}

// checkStatuses reports keys that are not a command_status, numbers given twice in
// different notations, and unknown classes. Keys may be names such as ESME_RINVDSTADR;
// their existence is checked when the carrier is created.
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

var errWeights = errors.New("must have one weight per carrier, and not all 0")

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
			p.addf(index(key+".carriers", j), "%q is listed twice", name)
		}
	}
	if len(r.Weights) > 0 && (len(r.Weights) != len(r.Carriers) || slices.Max(r.Weights) == 0) {
		p.add(key+".weights", errWeights)
	}
}
