package smsc

import (
	"fmt"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"countersign/internal/deliver/smpp/pdu"
)

// Faults are the errors and delays that an SMSC injects. The zero value has none.
// [ParseFaults] parses them; [FaultHelp] lists them.
type Faults struct {
	rules [kinds][]rule
	some  bool
}

// kind is the index of a fault in [faultTable].
type kind uint8

const (
	faultDelay kind = iota
	faultRate
	faultThrottle
	faultQueueFull
	faultRefuse
	faultUnknownStatus
	faultStatuses
	faultNack
	faultLostBind
	faultDisconnectBefore
	faultDisconnect
	faultLoseResponse
	faultDuplicateResponse
	faultWrongSequence
	faultMalformed
	faultRefuseBind
	faultEarlyPDUs
	faultIgnoreEnquireLink
	faultEnquireError
	faultEnquireNack
	faultHalfOpen
	faultReceiptDelay
	faultReceiptShuffle
	faultReceiptFirst
	faultReceiptLose
	faultReceiptDuplicate
	faultReceiptAsMessage
	faultReceiptAsAck
	faultReceiptElsewhere
	faultRequireTLV
	faultUndeliverable
	faultExpired
	faultRejected
	kinds
)

// rule is one fault with its value.
type rule struct {
	often  share
	prefix string // destination prefix; applies to all such messages and no others
	span   span
	status pdu.Status
	limit  int          // for rate: messages per second
	list   []pdu.Status // for statuses; ESME_ROK accepts
	tag    pdu.Tag
}

// shape is the syntax of the value of a fault.
type shape uint8

const (
	shapeNone shape = iota
	shapeShare
	shapeStatus // a share, optionally with ":" and a status
	shapeTarget // a share, or the first digits of a number
	shapeSpan
	shapeRate
	shapeList
	shapeTag // a tag, optionally with ":" and a status
)

type description struct {
	name   string
	shape  shape
	status pdu.Status    // default status
	span   time.Duration // default maximum of the span
	help   string
}

// Statuses used only by this package.
const (
	statusInvalidReceiptFlag pdu.Status = 0x07
	statusInvalidSchedule    pdu.Status = 0x61
	statusInvalidExpiry      pdu.Status = 0x62
	statusMissingTLV         pdu.Status = 0xC3
	// statusOfCarrier is in the range that §5.1.3 reserves for SMSC vendors.
	statusOfCarrier pdu.Status = 0x0400
)

//nolint:gochecknoglobals // a table
var faultTable = [kinds]description{
	faultDelay:             {"delay", shapeSpan, 0, 0, "delay each response to a message by TIME; a range reorders them"},
	faultRate:              {"rate", shapeRate, 0, 0, "refuse more than N messages per second of a system_id with ESME_RTHROTTLED"},
	faultThrottle:          {"throttle", shapeShare, pdu.StatusThrottled, 0, "refuse with ESME_RTHROTTLED"},
	faultQueueFull:         {"queue-full", shapeShare, pdu.StatusQueueFull, 0, "refuse with ESME_RMSGQFUL"},
	faultRefuse:            {"refuse", shapeStatus, pdu.StatusSubmitFailed, 0, "refuse with STATUS, or ESME_RSUBMITFAIL (0x45)"},
	faultUnknownStatus:     {"unknown-status", shapeStatus, statusOfCarrier, 0, "refuse with a carrier-specific STATUS, or 0x400"},
	faultStatuses:          {"statuses", shapeList, 0, 0, "answer the next messages with these statuses, in order; 0 accepts"},
	faultNack:              {"nack", shapeStatus, pdu.StatusInvalidCommandID, 0, "refuse with a generic_nack of STATUS, or ESME_RINVCMDID (0x03)"},
	faultLostBind:          {"lost-bind", shapeShare, 0, 0, "ESME_RINVBNDSTS (0x04) for this and all later messages of the connection"},
	faultDisconnectBefore:  {"disconnect-before", shapeShare, 0, 0, "close the connection without accepting"},
	faultDisconnect:        {"disconnect", shapeShare, 0, 0, "accept, then close the connection without answering"},
	faultLoseResponse:      {"lose-response", shapeShare, 0, 0, "accept, and never answer"},
	faultDuplicateResponse: {"duplicate-response", shapeShare, 0, 0, "accept, and answer twice"},
	faultWrongSequence:     {"wrong-sequence", shapeShare, 0, 0, "accept, and answer with another sequence_number"},
	faultMalformed:         {"malformed", shapeShare, 0, 0, "accept, and answer with broken octets"},
	faultRefuseBind:        {"refuse-bind", shapeStatus, pdu.StatusBindFailed, 0, "refuse a bind with STATUS, or ESME_RBINDFAIL (0x0D)"},
	faultEarlyPDUs:         {"early-pdus", shapeShare, 0, 0, "send other PDUs, including queued receipts, before the response to a bind"},
	faultIgnoreEnquireLink: {"ignore-enquire-link", shapeShare, 0, 0, "do not answer an enquire_link"},
	faultEnquireError:      {"enquire-error", shapeStatus, pdu.StatusInvalidBindStatus, 0, "answer an enquire_link with STATUS, or ESME_RINVBNDSTS (0x04)"},
	faultEnquireNack:       {"enquire-nack", shapeShare, 0, 0, "answer an enquire_link with a generic_nack"},
	faultHalfOpen:          {"half-open", shapeNone, 0, 0, "read everything, do nothing, answer nothing"},
	faultReceiptDelay:      {"receipt-delay", shapeSpan, 0, 0, "deliver each message TIME after it was accepted"},
	faultReceiptShuffle:    {"receipt-shuffle", shapeSpan, 0, time.Second, "reorder receipts: delay each by a random part of TIME, or 1s"},
	faultReceiptFirst:      {"receipt-first", shapeShare, 0, 0, "send the receipt before the response"},
	faultReceiptLose:       {"receipt-lose", shapeShare, 0, 0, "send no receipt"},
	faultReceiptDuplicate:  {"receipt-duplicate", shapeShare, 0, 0, "send the receipt twice"},
	faultReceiptAsMessage:  {"receipt-as-message", shapeShare, 0, 0, "send the receipt as text only, in a message with esm_class 0x00"},
	faultReceiptAsAck:      {"receipt-as-ack", shapeShare, 0, 0, "send the receipt as text only, in a message with esm_class 0x08"},
	faultReceiptElsewhere:  {"receipt-elsewhere", shapeShare, 0, 0, "send the receipt over another address of --listen than the message"},
	faultRequireTLV:        {"require-tlv", shapeTag, statusMissingTLV, 0, "refuse a message without the TLV with STATUS, or ESME_RMISSINGOPTPARAM (0xC3)"},
	faultUndeliverable:     {"undeliverable", shapeTarget, 0, 0, "report the message as UNDELIV"},
	faultExpired:           {"expired", shapeTarget, 0, 0, "report the message as EXPIRED"},
	faultRejected:          {"rejected", shapeTarget, 0, 0, "report the message as REJECTD"},
}

// form returns the syntax of the fault.
func (d description) form() string {
	value := [...]string{"", "[=SHARE]", "[=SHARE[:STATUS]]", "[=SHARE|DIGITS]", "=TIME", "=N", "=STATUS/STATUS", "=TAG[:STATUS]"}[d.shape]
	if d.span > 0 {
		value = "[" + value + "]"
	}
	return d.name + value
}

// FaultHelp returns the faults, one per line, and the syntax of their values.
func FaultHelp() string {
	var b strings.Builder
	w := tabwriter.NewWriter(&b, 0, 0, 2, ' ', 0)
	for _, d := range faultTable {
		_, _ = fmt.Fprintf(w, "  %s\t%s\n", d.form(), d.help) // a Builder returns no errors
	}
	_ = w.Flush()
	b.WriteString(`
  SHARE   a random share (30%) or the next messages (2x); default: all
  DIGITS  first digits of the destination: undeliverable=4477
  TIME    200ms, or a random time in a range: 0-2s
  STATUS  a command_status, as number or name: refuse=5%:0x0B, refuse=5%:ESME_RINVDSTADR
  TAG     an optional parameter: require-tlv=0x1400
`)
	return b.String()
}

// ParseFaults parses texts of comma-separated faults, each NAME or NAME=VALUE. A fault
// may occur more than once; each occurrence applies.
func ParseFaults(texts ...string) (Faults, error) {
	var f Faults
	for _, text := range texts {
		for one := range strings.SplitSeq(text, ",") {
			if err := f.add(strings.TrimSpace(one)); err != nil {
				return Faults{}, err
			}
		}
	}
	return f, nil
}

// MustFaults is [ParseFaults] for constant texts. It panics on errors.
func MustFaults(texts ...string) Faults {
	f, err := ParseFaults(texts...)
	if err != nil {
		panic(err)
	}
	return f
}

func (f *Faults) add(text string) error {
	name, value, given := strings.Cut(text, "=")
	if given && value == "" {
		return fmt.Errorf("fault %q: missing value after =", text)
	}
	k := kind(slices.IndexFunc(faultTable[:], func(d description) bool { return d.name == name }))
	if k >= kinds { // includes -1
		return fmt.Errorf("unknown fault %q; use one of %s", name, strings.Join(faultNames(), ", "))
	}
	r, err := parseRule(faultTable[k], value)
	if err != nil {
		return fmt.Errorf("fault %q: %w", text, err)
	}
	f.rules[k] = append(slices.Clip(f.rules[k]), r) // copies of f must not share the slice
	f.some = true
	return nil
}

func faultNames() []string {
	var names []string
	for _, d := range faultTable {
		names = append(names, d.name)
	}
	return names
}
