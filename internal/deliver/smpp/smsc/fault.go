package smsc

import (
	"fmt"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"countersign/internal/deliver/smpp/pdu"
)

// Faults are what an SMSC does wrong, or slowly. The zero value is none.
// [ParseFaults] makes them from text; [FaultHelp] lists what there is.
type Faults struct {
	rules [kinds][]rule
	some  bool
}

// kind is a fault's place in [faultTable].
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
	prefix string // of the destination: only those, and all of them
	span   span
	status pdu.Status
	limit  int          // of rate
	list   []pdu.Status // of statuses; ESME_ROK accepts
	tag    pdu.Tag
}

// shape is how a fault's value is written.
type shape uint8

const (
	shapeNone shape = iota
	shapeShare
	shapeStatus // a share, with ":" and a status
	shapeTarget // a share, or the first digits of a number
	shapeSpan
	shapeRate
	shapeList
	shapeTag // a tag, with ":" and a status
)

type description struct {
	name   string
	shape  shape
	status pdu.Status    // when none is given
	span   time.Duration // when none is given
	help   string
}

// Statuses that package pdu has no name for, because nobody else tells them apart.
const (
	statusInvalidReceiptFlag pdu.Status = 0x07
	statusInvalidSchedule    pdu.Status = 0x61
	statusInvalidExpiry      pdu.Status = 0x62
	statusMissingTLV         pdu.Status = 0xC3
	// statusOfCarrier is of the range that §5.1.3 leaves to the maker of the SMSC.
	statusOfCarrier pdu.Status = 0x0400
)

//nolint:gochecknoglobals // a table
var faultTable = [kinds]description{
	faultDelay:             {"delay", shapeSpan, 0, 0, "a response to a message comes this much later; the span reorders them"},
	faultRate:              {"rate", shapeRate, 0, 0, "over N messages of a system_id in any second: ESME_RTHROTTLED"},
	faultThrottle:          {"throttle", shapeShare, pdu.StatusThrottled, 0, "refuse with ESME_RTHROTTLED"},
	faultQueueFull:         {"queue-full", shapeShare, pdu.StatusQueueFull, 0, "refuse with ESME_RMSGQFUL"},
	faultRefuse:            {"refuse", shapeStatus, pdu.StatusSubmitFailed, 0, "refuse with STATUS, or ESME_RSUBMITFAIL (0x45)"},
	faultUnknownStatus:     {"unknown-status", shapeStatus, statusOfCarrier, 0, "refuse with a STATUS of the carrier's own, or 0x400"},
	faultStatuses:          {"statuses", shapeList, 0, 0, "answer the next messages with these statuses in turn, any number of them; 0 accepts"},
	faultNack:              {"nack", shapeStatus, pdu.StatusInvalidCommandID, 0, "refuse with a generic_nack of STATUS, or ESME_RINVCMDID (0x03)"},
	faultLostBind:          {"lost-bind", shapeShare, 0, 0, "ESME_RINVBNDSTS (0x04) for this and all later messages of the connection"},
	faultDisconnectBefore:  {"disconnect-before", shapeShare, 0, 0, "close the connection without accepting"},
	faultDisconnect:        {"disconnect", shapeShare, 0, 0, "accept, then close the connection without answering"},
	faultLoseResponse:      {"lose-response", shapeShare, 0, 0, "accept, and never answer"},
	faultDuplicateResponse: {"duplicate-response", shapeShare, 0, 0, "accept, and answer twice"},
	faultWrongSequence:     {"wrong-sequence", shapeShare, 0, 0, "accept, and answer with another sequence_number"},
	faultMalformed:         {"malformed", shapeShare, 0, 0, "accept, and answer with broken octets"},
	faultRefuseBind:        {"refuse-bind", shapeStatus, pdu.StatusBindFailed, 0, "refuse a bind with STATUS, or ESME_RBINDFAIL (0x0D)"},
	faultEarlyPDUs:         {"early-pdus", shapeShare, 0, 0, "other PDUs, kept receipts among them, before the response to a bind"},
	faultIgnoreEnquireLink: {"ignore-enquire-link", shapeShare, 0, 0, "do not answer an enquire_link"},
	faultEnquireError:      {"enquire-error", shapeStatus, pdu.StatusInvalidBindStatus, 0, "answer an enquire_link with STATUS, or ESME_RINVBNDSTS (0x04)"},
	faultEnquireNack:       {"enquire-nack", shapeShare, 0, 0, "answer an enquire_link with a generic_nack"},
	faultHalfOpen:          {"half-open", shapeNone, 0, 0, "read everything, do nothing, answer nothing"},
	faultReceiptDelay:      {"receipt-delay", shapeSpan, 0, 0, "a message is delivered this long after it was accepted"},
	faultReceiptShuffle:    {"receipt-shuffle", shapeSpan, 0, time.Second, "receipts out of order: each up to TIME, or 1s, later"},
	faultReceiptFirst:      {"receipt-first", shapeShare, 0, 0, "the receipt comes before the response"},
	faultReceiptLose:       {"receipt-lose", shapeShare, 0, 0, "no receipt"},
	faultReceiptDuplicate:  {"receipt-duplicate", shapeShare, 0, 0, "the receipt twice"},
	faultReceiptAsMessage:  {"receipt-as-message", shapeShare, 0, 0, "the receipt is text only, in a message with esm_class 0x00"},
	faultReceiptAsAck:      {"receipt-as-ack", shapeShare, 0, 0, "the receipt is text only, in a message with esm_class 0x08"},
	faultReceiptElsewhere:  {"receipt-elsewhere", shapeShare, 0, 0, "the receipt comes over another address of --listen than the message"},
	faultRequireTLV:        {"require-tlv", shapeTag, statusMissingTLV, 0, "refuse a message without the TLV with STATUS, or ESME_RMISSINGOPTPARAM (0xC3)"},
	faultUndeliverable:     {"undeliverable", shapeTarget, 0, 0, "the message ends as UNDELIV"},
	faultExpired:           {"expired", shapeTarget, 0, 0, "the message ends as EXPIRED"},
	faultRejected:          {"rejected", shapeTarget, 0, 0, "the message ends as REJECTD"},
}

// form is how the fault is written.
func (d description) form() string {
	value := [...]string{"", "[=SHARE]", "[=SHARE[:STATUS]]", "[=SHARE|DIGITS]", "=TIME", "=N", "=STATUS/STATUS", "=TAG[:STATUS]"}[d.shape]
	if d.span > 0 {
		value = "[" + value + "]"
	}
	return d.name + value
}

// FaultHelp lists the faults, a line each, and how their values are written.
func FaultHelp() string {
	var b strings.Builder
	w := tabwriter.NewWriter(&b, 0, 0, 2, ' ', 0)
	for _, d := range faultTable {
		_, _ = fmt.Fprintf(w, "  %s\t%s\n", d.form(), d.help) // a Builder takes everything
	}
	_ = w.Flush()
	b.WriteString(`
  SHARE   30%: so many at random; 2x: the next two; all if left out
  DIGITS  the first digits of the destination: undeliverable=4477
  TIME    200ms, or a range to draw from: 0-2s
  STATUS  a command_status, as number or name: refuse=5%:0x0B, refuse=5%:ESME_RINVDSTADR
  TAG     of an optional parameter: require-tlv=0x1400
`)
	return b.String()
}

// ParseFaults reads faults, each as NAME or NAME=VALUE, or several with commas
// between them. A fault may be given more than once: each of them acts.
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

// MustFaults is [ParseFaults] for texts that are constants of the program: it
// panics where they are wrong.
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
		return fmt.Errorf("fault %q: the value is missing", text)
	}
	k := kind(slices.IndexFunc(faultTable[:], func(d description) bool { return d.name == name }))
	if k >= kinds { // -1, too
		return fmt.Errorf("there is no fault %q; there are %s", name, strings.Join(faultNames(), ", "))
	}
	r, err := parseRule(faultTable[k], value)
	if err != nil {
		return fmt.Errorf("fault %q: %w", text, err)
	}
	f.rules[k] = append(slices.Clip(f.rules[k]), r) // copies of f must not share it
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
