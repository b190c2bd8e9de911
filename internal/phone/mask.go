package phone

const mask = "••••"

// Mask gives the form of a number that may be logged, such as 4477••••04: the
// network can still be seen, the person not. The dots are always four, whatever
// they stand for. Anything that would leave fewer than four digits hidden, or
// that is not digits, is hidden whole.
func Mask(digits string) string {
	const head, tail, hidden = 4, 2, 4
	if len(digits) < head+hidden+tail {
		return mask
	}
	for _, c := range []byte(digits) {
		if c < '0' || c > '9' {
			return mask
		}
	}
	return digits[:head] + mask + digits[len(digits)-tail:]
}
