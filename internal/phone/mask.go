package phone

import "countersign/internal/verify"

// Mask returns the form of a number (E.164 digits) for logs; see [verify.Address.Masked].
func Mask(digits string) string {
	return verify.Address{Kind: verify.Phone, Given: digits}.Masked()
}
