package audio

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
)

const (
	wavHeaderSize = 44
	wavPCM        = 1
)

// WAV returns s as a WAV file of 16-bit PCM.
func (s Samples) WAV() []byte {
	size := uint32(2 * len(s))
	b := make([]byte, 0, wavHeaderSize+int(size))
	le := binary.LittleEndian
	b = append(b, "RIFF"...)
	b = le.AppendUint32(b, wavHeaderSize-8+size)
	b = append(b, "WAVEfmt "...)
	b = le.AppendUint32(b, 16) // size of this chunk
	b = le.AppendUint16(b, wavPCM)
	b = le.AppendUint16(b, 1)      // channels
	b = le.AppendUint32(b, Rate)   // samples per second
	b = le.AppendUint32(b, 2*Rate) // bytes per second
	b = le.AppendUint16(b, 2)      // bytes per sample of all channels
	b = le.AppendUint16(b, 16)     // bits per sample
	b = append(b, "data"...)
	b = le.AppendUint32(b, size)
	b, _ = binary.Append(b, le, []int16(s)) // fails only for types without a fixed size
	return b
}

// ParseWAV reads a WAV file of 16-bit PCM with one channel and converts it to [Rate].
// The sizes in its header are only upper limits, since a program that writes to a pipe
// does not know them in advance.
func ParseWAV(b []byte) (Samples, error) {
	if len(b) < 12 || string(b[:4]) != "RIFF" || string(b[8:12]) != "WAVE" {
		return nil, errors.New("audio: not a WAV file")
	}
	le := binary.LittleEndian
	rate := 0
	for b = b[12:]; len(b) >= 8; {
		name, size := string(b[:4]), int64(le.Uint32(b[4:]))
		body := b[8:]
		body = body[:min(size, int64(len(body)))]
		switch name {
		case "fmt ":
			if len(body) < 16 {
				return nil, errors.New("audio: WAV format cut short")
			}
			if format, channels, bits := le.Uint16(body), le.Uint16(body[2:]), le.Uint16(body[14:]); format != wavPCM || channels != 1 || bits != 16 {
				return nil, fmt.Errorf("audio: WAV format %d with %d channels of %d bits, want PCM with 1 of 16", format, channels, bits)
			}
			rate = int(le.Uint32(body[4:]))
			if rate < lowestSource || rate > 192_000 {
				return nil, fmt.Errorf("audio: WAV with %d samples per second, want 8000 to 192000", rate)
			}
			if Rate/gcd(Rate, rate) > maxPhases {
				return nil, fmt.Errorf("audio: WAV with %d samples per second, want a usual rate such as 8000, 16000, 44100 or 48000", rate)
			}
		case "data":
			if rate == 0 {
				return nil, errors.New("audio: WAV data before its format")
			}
			samples := make([]int16, len(body)/2)
			if err := binary.Read(bytes.NewReader(body), le, samples); err != nil {
				return nil, fmt.Errorf("audio: %w", err)
			}
			return Resample(samples, rate), nil
		}
		b = b[min(len(b), 8+len(body)+len(body)%2):] // chunks begin at even offsets
	}
	return nil, errors.New("audio: WAV without data")
}
