package apiv1

import "countersign/internal/template"

// The parameters of each call. In a JSON body, a member of another name may have any
// type.

func startParams() []string {
	return append(sendParams(), "brand", "sender_id", "pin_code")
}

func psd2Params() []string { return append(sendParams(), "payee", "amount") }

// sendParams lists the parameters that start and psd2 have in common.
func sendParams() []string {
	return append(commonParams(), "number", "country", "code_length", "lg", "pin_expiry", "next_event_wait", "workflow_id", "require_type")
}

func checkParams() []string {
	return append(commonParams(), "request_id", "code", "ip_address", "ip")
}

func searchParams() []string { return append(commonParams(), "request_id", listParam) }

func controlParams() []string { return append(commonParams(), "request_id", "cmd") }

// templateParams lists the parameters of templates.
func templateParams() []string {
	return append(append(commonParams(), "action_type", "lg", "template", "type", "contact_email"), template.SoundNames()...)
}

// unblockParams lists the parameters of network-unblock.
func unblockParams() []string {
	return append(commonParams(), "network", "unblock_duration", "duration")
}

// commonParams lists the parameters of every call.
func commonParams() []string { return []string{"api_key", "api_secret", "timestamp", "sig"} }
