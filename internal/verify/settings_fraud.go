package verify

// FraudSettings are an account's own limits of the velocity rules.
type FraudSettings struct {
	// Mode is the most that a rule does: off or shadow; "" for what each is set to.
	Mode string `json:"mode,omitempty"`
	// ConversionBelow is the conversion, in percent, below which a network is blocked;
	// 0 for that of the installation.
	ConversionBelow int `json:"conversion_below,omitempty"`
	// ConversionFinished is how many verifications must be over before that is
	// decided; 0 for that of the installation.
	ConversionFinished int `json:"conversion_finished,omitempty"`
	// Unblock allows the account to lift blocks of its networks (network-unblock).
	Unblock bool `json:"unblock,omitempty"`
}
