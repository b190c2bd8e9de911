package audio

import "math/bits"

// ITU-T G.711 μ-law encodes a sample in one byte, with steps that increase with the
// magnitude. A byte is the sign, three bits of exponent and four of mantissa, all
// inverted so that silence is not constant.
const (
	muLawBias = 33 << 2   // makes the first segment regular
	muLawClip = 8158 << 2 // maximum magnitude
)

// MuLaw encodes s, one byte per sample.
func (s Samples) MuLaw() []byte {
	out := make([]byte, len(s))
	for i, v := range s {
		out[i] = encodeMuLaw(v)
	}
	return out
}

// FromMuLaw decodes μ-law.
func FromMuLaw(b []byte) Samples {
	out := make(Samples, len(b))
	for i, v := range b {
		out[i] = decodeMuLaw(v)
	}
	return out
}

func encodeMuLaw(v int16) byte {
	magnitude, sign := int(v), byte(0)
	if magnitude < 0 {
		magnitude, sign = -magnitude, 0x80
	}
	magnitude = min(magnitude, muLawClip) + muLawBias
	exponent := bits.Len(uint(magnitude)) - 8 // 0 to 7, because of the bias
	mantissa := magnitude >> (exponent + 3) & 0x0F
	return ^(sign | byte(exponent<<4|mantissa))
}

func decodeMuLaw(b byte) int16 {
	b = ^b
	exponent, mantissa := b>>4&0x07, int(b&0x0F)
	magnitude := (mantissa<<3+muLawBias)<<exponent - muLawBias
	if b&0x80 != 0 {
		magnitude = -magnitude
	}
	return int16(magnitude)
}
