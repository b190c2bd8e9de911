package verify

import (
	"cmp"
	"strconv"
)

// Kind is the reason for a refusal. Each API maps every kind to its own code and text.
type Kind int

// The kinds, in the order of the v1 status codes that they map to.
const (
	KindInternal            Kind = iota // any error other than *Error
	KindThrottled                       // request rate over the limit
	KindMissingParameter                // mandatory Param is absent
	KindInvalidParameter                // Param has an invalid value
	KindBadCredentials                  // unknown key, wrong secret or signature
	KindUnroutable                      // no carrier for this number
	KindNotFound                        // verification is unknown or has ended
	KindBlocked                         // the number or its Network is blocked, or the number is at a cap
	KindBarred                          // the account is barred
	KindNoCredit                        // the balance does not cover the price
	KindConcurrent                      // Request is in progress for this number
	KindUnsupportedNetwork              // the number's network is not served
	KindWrongCode                       // the code is not the PIN
	KindTooManyCodes                    // the last try was wrong; Request has failed
	KindTooManyIDs                      // more ids than a search accepts
	KindCancelTooEarly                  // see Verification.Cancel
	KindCancelTooLate                   // see Verification.Cancel
	KindNoMoreEvents                    // see Verification.Trigger
	KindCustomPINNotAllowed             // the account may not choose the PIN
	KindNotApproved                     // trial account, number not approved
	KindUnavailable                     // the server is stopping or overloaded
	kindEnd
)

// kindNames has the name of each kind. Names are stable, since operators search logs for
// them.
//
//nolint:gochecknoglobals // a table
var kindNames = [kindEnd]string{
	KindInternal:            "internal_error",
	KindThrottled:           "throttled",
	KindMissingParameter:    "missing_parameter",
	KindInvalidParameter:    "invalid_parameter",
	KindBadCredentials:      "bad_credentials",
	KindUnroutable:          "unroutable",
	KindNotFound:            "not_found",
	KindBlocked:             "blocked",
	KindBarred:              "barred",
	KindNoCredit:            "no_credit",
	KindConcurrent:          "concurrent",
	KindUnsupportedNetwork:  "unsupported_network",
	KindWrongCode:           "wrong_code",
	KindTooManyCodes:        "too_many_codes",
	KindTooManyIDs:          "too_many_ids",
	KindCancelTooEarly:      "cancel_too_early",
	KindCancelTooLate:       "cancel_too_late",
	KindNoMoreEvents:        "no_more_events",
	KindCustomPINNotAllowed: "custom_pin_not_allowed",
	KindNotApproved:         "not_approved",
	KindUnavailable:         "unavailable",
}

// String returns the name of the kind for logs, such as "throttled"; "kind N" for a
// number that is not a kind.
func (k Kind) String() string {
	if k < 0 || k >= kindEnd {
		return "kind " + strconv.Itoa(int(k))
	}
	return kindNames[k]
}

// Field is a part of a request that the account policy may refuse (package account). Each
// API has its own parameter for it.
type Field string

// The fields.
const (
	FieldBrand     Field = "brand" // brand, or payee of a payment
	FieldSender    Field = "sender"
	FieldPINLength Field = "pin_length" // length of a generated PIN
	FieldWorkflow  Field = "workflow"
	FieldPINLife   Field = "pin_life"
	FieldPIN       Field = "pin"      // chosen by the application
	FieldTemplate  Field = "template" // text of a new template
)

// Error is a refusal that the caller can act on.
type Error struct {
	Kind    Kind
	Param   string // name of the parameter, for the two parameter kinds
	Field   Field  // part of the request that the policy refuses; an API sets Param from it
	Reason  string // why Param is invalid, a short phrase without secrets; may be empty
	Request ID     // id of the verification concerned; may be zero
	Network string // blocked network, if a rule blocked one; as network-unblock accepts it
	By      Cause  // rule that refused a start; see Error.Cause
}

func (e *Error) Error() string {
	text := "verify: refused (" + e.Kind.String() + ")"
	name := e.name()
	if name == "" {
		return text
	}
	text += ": parameter " + name
	if e.Reason != "" {
		text += ": " + e.Reason
	}
	return text
}

// name returns Param, or Field before an API has set Param.
func (e *Error) name() string { return cmp.Or(e.Param, string(e.Field)) }

// Invalid returns the error for an invalid value of a parameter. The reason is a short
// phrase without secrets, such as "more than 32 characters"; it may be empty.
func Invalid(param, reason string) error {
	return &Error{Kind: KindInvalidParameter, Param: param, Reason: reason}
}

// Refused returns the refusal of a field by the account policy, with a reason as of
// [Invalid].
func Refused(field Field, reason string) *Error {
	return &Error{Kind: KindInvalidParameter, Field: field, Reason: reason}
}

// Missing returns the error for an absent mandatory parameter.
func Missing(param string) error { return &Error{Kind: KindMissingParameter, Param: param} }
