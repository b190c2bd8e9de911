package gsm

// Pack puts septets, one in each octet, eight into seven octets (23.038
// §6.1.2.1.1), for a carrier that wants them so. The result follows a header of
// that many octets: it begins with the fill bits that bring the first septet to a
// septet boundary (23.040 §9.2.3.24). Bits that are left over are 0. The eighth
// bit of an octet is ignored.
func Pack(septets []byte, header int) []byte {
	fill := fillBits(header)
	packed := make([]byte, (fill+7*len(septets)+7)/8)
	for i, s := range septets {
		bit := fill + 7*i
		v := uint16(s&0x7F) << (bit % 8)
		packed[bit/8] |= byte(v)
		if v > 0xFF {
			packed[bit/8+1] |= byte(v >> 8)
		}
	}
	return packed
}

// Unpack is the reverse of [Pack]: it returns n septets, or as many as there are.
//
// If the number is not known, n is -1. Then seven zero bits that end packed are
// taken for what was left over, although they could be an "@": a text that
// happens to end there is rarer with one than without.
func Unpack(packed []byte, header, n int) []byte {
	fill := fillBits(header)
	all := max(0, 8*len(packed)-fill) / 7
	guess := n < 0
	if guess || n > all {
		n = all
	}
	septets := make([]byte, n)
	for i := range septets {
		bit := fill + 7*i
		v := uint16(packed[bit/8])
		if bit/8+1 < len(packed) {
			v |= uint16(packed[bit/8+1]) << 8
		}
		septets[i] = byte(v>>(bit%8)) & 0x7F
	}
	if guess && n > 0 && fill+7*n == 8*len(packed) && septets[n-1] == 0 {
		septets = septets[:n-1]
	}
	return septets
}

// fillBits is how many bits follow a header before the first septet.
func fillBits(header int) int {
	return (7 - 8*header%7) % 7
}
