package verify

// FraudSettings are an account's own limits of the velocity rules.
type FraudSettings struct {
	// Mode limits the effect of rules: off or shadow; "" for the mode of each rule.
	Mode string `json:"mode,omitempty"`
	// ConversionBelow is the conversion rate in percent below which a network is blocked; 0
	// for the default of the installation.
	ConversionBelow int `json:"conversion_below,omitempty"`
	// ConversionFinished is the number of finished verifications required for that
	// decision; 0 for the default of the installation.
	ConversionFinished int `json:"conversion_finished,omitempty"`
	// Unblock allows the account to lift blocks of its networks (network-unblock).
	Unblock bool `json:"unblock,omitempty"`
}
