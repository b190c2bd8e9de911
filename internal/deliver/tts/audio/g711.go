package audio

import "math/bits"

// Law is a companding law of ITU-T G.711. It encodes a sample in one octet.
type Law byte

// The laws of G.711.
const (
	MuLaw Law = iota // North America and Japan
	ALaw             // all other countries
)

// FrameSize is the number of samples, and of G.711 octets, in an RTP packet of 20 ms.
const FrameSize = Rate / 50

// AppendEncode encodes s, one octet per sample, and appends it to dst.
func (l Law) AppendEncode(dst []byte, s Samples) []byte {
	if l == ALaw {
		for _, v := range s {
			dst = append(dst, encodeALaw(v))
		}
		return dst
	}
	for _, v := range s {
		dst = append(dst, encodeMuLaw(v))
	}
	return dst
}

// AppendDecode decodes b, one sample per octet, and appends it to dst.
func (l Law) AppendDecode(dst Samples, b []byte) Samples {
	if l == ALaw {
		for _, v := range b {
			dst = append(dst, decodeALaw(v))
		}
		return dst
	}
	for _, v := range b {
		dst = append(dst, decodeMuLaw(v))
	}
	return dst
}

// Silence returns the octet of silence.
func (l Law) Silence() byte {
	if l == ALaw {
		return encodeALaw(0)
	}
	return encodeMuLaw(0)
}

// evenBits are inverted in every octet of A-law (G.711 table 1, note 2), so that silence
// is not constant. The sign bit is 1 for positive values.
const evenBits = 0x55

// encodeALaw keeps 12 bits of magnitude. Each segment has 16 steps; the first two have
// the same step size, and each later one has twice the step of its predecessor. Negative
// values are inverted, not negated. So both signs have the same ranges, and the values
// next to zero on either side are code 0 (G.711 table 1, and G.191 alaw.c).
func encodeALaw(v int16) byte {
	sign := byte(0x80)
	if v < 0 {
		v, sign = ^v, 0
	}
	magnitude := int(v >> 4)
	exponent := max(0, bits.Len(uint(magnitude))-4)
	mantissa := magnitude >> max(0, exponent-1) & 0x0F
	return (sign | byte(exponent<<4|mantissa)) ^ evenBits
}

// decodeALaw returns the middle of the step.
func decodeALaw(b byte) int16 {
	b ^= evenBits
	exponent, magnitude := b>>4&0x07, int(b&0x0F)<<4+8
	if exponent > 0 {
		magnitude = (magnitude + 0x100) << (exponent - 1)
	}
	if b&0x80 == 0 {
		magnitude = -magnitude
	}
	return int16(magnitude)
}
