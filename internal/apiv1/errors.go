package apiv1

import (
	"strings"

	"countersign/internal/verify"
)

// textNotFound is the response to a wrong path. The original's documentation names this
// text as the symptom of a wrong base URL.
const textNotFound = "Facility not allowed"

// Status returns the status code of this API for a kind of refusal (spec §4). check and
// control respond to KindNotFound with 6.
func Status(kind verify.Kind) string {
	switch kind {
	case verify.KindThrottled:
		return "1"
	case verify.KindMissingParameter:
		return "2"
	case verify.KindInvalidParameter:
		return "3"
	case verify.KindBadCredentials:
		return "4"
	case verify.KindUnroutable:
		return "6"
	case verify.KindBlocked:
		return "7"
	case verify.KindBarred:
		return "8"
	case verify.KindNoCredit:
		return "9"
	case verify.KindConcurrent:
		return "10"
	case verify.KindUnsupportedNetwork:
		return "15"
	case verify.KindWrongCode:
		return "16"
	case verify.KindTooManyCodes:
		return "17"
	case verify.KindTooManyIDs:
		return "18"
	case verify.KindCancelTooEarly, verify.KindCancelTooLate, verify.KindNoMoreEvents:
		return "19"
	case verify.KindCustomPINNotAllowed:
		return "20"
	case verify.KindNotApproved:
		return "29"
	case verify.KindNotFound:
		return "101"
	}
	return "5"
}

// refusal returns the status code and the text of a refusal. The texts are exact, since
// clients match them.
func (a *API) refusal(e *verify.Error) (status, text string) { return Status(e.Kind), a.text(e) }

func (a *API) text(e *verify.Error) string {
	switch e.Kind {
	case verify.KindThrottled:
		return "Throttled"
	case verify.KindMissingParameter:
		if e.Param == "api_key" || e.Param == "api_secret" {
			return "Missing " + e.Param
		}
		return "Your request is incomplete and missing the mandatory parameter: " + e.Param
	case verify.KindInvalidParameter:
		return invalidText(e.Param, e.Reason)
	case verify.KindBadCredentials:
		return "Bad credentials"
	case verify.KindInternal, verify.KindUnavailable:
		return "Internal Error"
	case verify.KindUnroutable:
		return a.unableToProcess("The request could not be routed.")
	case verify.KindBlocked:
		return "The number you are trying to verify is blacklisted for verification"
	case verify.KindBarred:
		return "The api_key you supplied is for an account that has been barred from submitting messages."
	case verify.KindNoCredit:
		return "Partner quota exceeded"
	case verify.KindConcurrent:
		return "Concurrent verifications to the same number are not allowed"
	case verify.KindUnsupportedNetwork:
		return "The destination number is not in a supported network"
	case verify.KindWrongCode:
		return a.cfg.WrongCodeText
	case verify.KindTooManyCodes:
		return a.cfg.TooManyCodesText
	case verify.KindTooManyIDs:
		return "Too many request_ids provided"
	case verify.KindCancelTooEarly:
		return "Verification request ['" + e.Request.Hex() + "'] can't be cancelled within the first 30 seconds."
	case verify.KindCancelTooLate:
		// The original text has two spaces.
		return "Verification request  ['" + e.Request.Hex() + "'] can't be cancelled now. Too many attempts to re-deliver have already been made."
	case verify.KindNoMoreEvents:
		return "No more events are left to execute for the request ['" + e.Request.Hex() + "']"
	case verify.KindCustomPINNotAllowed:
		return "This account does not support the parameter: pin_code."
	case verify.KindNotApproved:
		return "Your " + a.cfg.PlatformName + " account is still in demo mode. While in demo mode you must add target numbers to the approved list for your account. Add funds to your account to remove this limitation."
	case verify.KindNotFound:
		return "No response found"
	}
	return "Internal Error"
}

func (a *API) unableToProcess(reason string) string {
	return "The " + a.cfg.PlatformName + " platform was unable to process this message for the following reason: " + reason
}

// errorAnswer returns the body of a refusal (spec §3). The XML roots of status 1 to 4 do
// not depend on the endpoint, according to recorded responses.
func errorAnswer(c *exchange, e *verify.Error, status, text string) any {
	answer := errorResponse{Status: status, ErrorText: text, Network: e.Network}
	answer.XMLName.Local = c.endpoint.errorRoot
	switch e.Kind {
	case verify.KindInvalidParameter:
		answer.XMLName.Local = rootResponse
		return answer
	case verify.KindThrottled, verify.KindMissingParameter, verify.KindBadCredentials:
		answer.XMLName.Local = rootVerifyResponse
	case verify.KindConcurrent:
		answer.RequestID = e.Request.Hex()
	}
	switch c.endpoint.name {
	case "search":
		return searchErrorResponse{XMLName: answer.XMLName, Status: status, ErrorText: text}
	case "check":
		answer.RequestID = c.requestID // "" until accepted
	}
	return answer
}

// printable reports whether text can be repeated in a response and a log: it has no
// control or format characters.
func printable(text string) bool {
	return !strings.ContainsFunc(text, func(r rune) bool { return !isShown(r) })
}
