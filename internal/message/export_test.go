package message

// CheckText is checkText without allowed links.
func CheckText(text string) error { return checkText(text, "") }
