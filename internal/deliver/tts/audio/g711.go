package audio

import "math/bits"

// Law is one of the two ways of ITU-T G.711 to put a sample in one octet.
type Law byte

// The laws of G.711.
const (
	MuLaw Law = iota // of North America and Japan
	ALaw             // of everywhere else
)

// FrameSize is the number of samples, and of octets of G.711, in the 20 ms that
// one RTP packet carries.
const FrameSize = Rate / 50

// AppendEncode adds s to dst, an octet a sample.
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

// AppendDecode adds the sound of b to dst, a sample an octet.
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

// Silence is the octet of silence.
func (l Law) Silence() byte {
	if l == ALaw {
		return encodeALaw(0)
	}
	return encodeMuLaw(0)
}

// evenBits are inverted in every octet of A-law (G.711 table 1, note 2), so that
// a silent line still toggles. The sign is 1 for positive values.
const evenBits = 0x55

// encodeALaw keeps 12 bits of magnitude: the first two segments have 16 steps
// each, and the others twice the step of the one before. A negative value is
// inverted, not negated, so that the ranges of both signs are alike: the value
// next to zero on either side is code 0 (G.711 table 1, and G.191 alaw.c).
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

// decodeALaw gives the middle of a step.
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
