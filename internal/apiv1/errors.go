package apiv1

import (
	"strings"

	"countersign/internal/verify"
)

// textNotFound is the answer to a wrong path: the words that the original's
// documentation tells its users to look for when their base URL is wrong.
const textNotFound = "Facility not allowed"

// refusal is the one table from what the domain refuses to this API's status
// codes and texts (spec §4). Clients match on the texts, so they are exact.
func (a *API) refusal(e *verify.Error) (status, text string) {
	switch e.Kind {
	case verify.KindThrottled:
		return "1", "Throttled"
	case verify.KindMissingParameter:
		if e.Param == "api_key" || e.Param == "api_secret" {
			return "2", "Missing " + e.Param
		}
		return "2", "Your request is incomplete and missing the mandatory parameter: " + e.Param
	case verify.KindInvalidParameter:
		return "3", invalidText(e.Param, e.Reason)
	case verify.KindBadCredentials:
		return "4", "Bad credentials"
	case verify.KindInternal, verify.KindUnavailable:
		return "5", "Internal Error"
	case verify.KindUnroutable:
		return "6", a.unableToProcess("The request could not be routed.")
	case verify.KindBlocked:
		return "7", "The number you are trying to verify is blacklisted for verification"
	case verify.KindBarred:
		return "8", "The api_key you supplied is for an account that has been barred from submitting messages."
	case verify.KindNoCredit:
		return "9", "Partner quota exceeded"
	case verify.KindConcurrent:
		return "10", "Concurrent verifications to the same number are not allowed"
	case verify.KindUnsupportedNetwork:
		return "15", "The destination number is not in a supported network"
	case verify.KindWrongCode:
		return "16", a.cfg.WrongCodeText
	case verify.KindTooManyCodes:
		return "17", a.cfg.TooManyCodesText
	case verify.KindTooManyIDs:
		return "18", "Too many request_ids provided"
	case verify.KindCancelTooEarly:
		return "19", "Verification request ['" + e.Request.Hex() + "'] can't be cancelled within the first 30 seconds."
	case verify.KindCancelTooLate:
		// With two spaces, as the original has it.
		return "19", "Verification request  ['" + e.Request.Hex() + "'] can't be cancelled now. Too many attempts to re-deliver have already been made."
	case verify.KindNoMoreEvents:
		return "19", "No more events are left to execute for the request ['" + e.Request.Hex() + "']"
	case verify.KindCustomPINNotAllowed:
		return "20", "This account does not support the parameter: pin_code."
	case verify.KindNotApproved:
		return "29", "Your " + a.cfg.PlatformName + " account is still in demo mode. While in demo mode you must add target numbers to the approved list for your account. Add funds to your account to remove this limitation."
	case verify.KindNotFound:
		return "101", "No response found"
	}
	return "5", "Internal Error"
}

func (a *API) unableToProcess(reason string) string {
	return "The " + a.cfg.PlatformName + " platform was unable to process this message for the following reason: " + reason
}

// errorAnswer returns the body of a refusal (spec §3). The XML roots of status 1 to 4 are
// recorded: they do not depend on the call.
func errorAnswer(c *call, e *verify.Error, status, text string) any {
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
		answer.RequestID = c.requestID // "" until it was accepted
	}
	return answer
}

// printable reports whether text can be repeated in an answer and a log: no
// control characters, no format characters.
func printable(text string) bool {
	return !strings.ContainsFunc(text, func(r rune) bool { return !isShown(r) })
}
