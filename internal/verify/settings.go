package verify

// Settings are what an operator lays down for one account beyond what every account
// has. They are stored as JSON with the account, and the zero value of each means
// "as for the installation": to add one, add a field here with a name in JSON and
// omitempty, and use it where it is decided on.
type Settings struct {
	// Countries are those whose numbers the account may verify (ISO 3166-1 alpha-2
	// in capitals); none for all.
	Countries []string `json:"countries,omitempty"`
	// Workflows are the workflow_ids that the account may ask for; none for all.
	Workflows []int `json:"workflows,omitempty"`
	// Senders are what the account may name as the sender of an SMS (sender_id);
	// none for any.
	Senders []string `json:"senders,omitempty"`
	// Sources are the networks that the account's requests may come from, such as
	// 192.0.2.0/24; none for any.
	Sources []string `json:"sources,omitempty"`
	// MinCodeLength is the least number of digits of a PIN; 0 for the least that
	// there is.
	MinCodeLength int `json:"min_code_length,omitempty"`
	// Strict holds PINs to the limits of NIST SP 800-63B: at least 6 digits, valid
	// for at most 10 minutes.
	Strict bool `json:"strict,omitempty"`
	// TestNumbers are numbers that nothing is ever sent to, with the PIN that each
	// always has.
	TestNumbers map[string]string `json:"test_numbers,omitempty"`
}
