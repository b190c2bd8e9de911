package apiv1

import "countersign/internal/template"

// callParams lists the parameters of the five calls, credentials included. In a JSON
// body, a member of another name may have any type.
func callParams() []string {
	return append(commonParams(),
		"number", "country", "brand", "payee", "amount", "sender_id", "code_length", "lg", "pin_expiry", "next_event_wait",
		"workflow_id", "pin_code", "require_type",
		"request_id", listParam, "code", "ip_address", "ip", "cmd")
}

// templateParams lists the parameters of templates.
func templateParams() []string {
	return append(append(commonParams(), "action_type", "lg", "template", "type", "contact_email"), template.SoundNames()...)
}

// unblockParams lists the parameters of network-unblock.
func unblockParams() []string {
	return append(commonParams(), "network", "unblock_duration", "duration")
}

func commonParams() []string { return []string{"api_key", "api_secret", "timestamp", "sig"} }
