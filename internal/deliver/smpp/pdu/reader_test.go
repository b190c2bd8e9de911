package pdu_test

import (
	"bytes"
	"encoding/binary"
	"errors"
	"io"
	"maps"
	"reflect"
	"runtime"
	"slices"
	"testing"
	"testing/iotest"

	"countersign/internal/deliver/smpp/pdu"
)

// stream returns all golden PDUs, concatenated.
func stream(t testing.TB) (octetsOfAll []byte, want []pdu.PDU) {
	t.Helper()
	all := golden()
	for _, name := range slices.Sorted(maps.Keys(all)) {
		octetsOfAll = append(octetsOfAll, octets(t, name)...)
		want = append(want, all[name])
	}
	return octetsOfAll, want
}

func TestReader(t *testing.T) {
	t.Parallel()
	wire, want := stream(t)
	for name, split := range map[string]func(io.Reader) io.Reader{
		"at once":            func(r io.Reader) io.Reader { return r },
		"octet by octet":     iotest.OneByteReader,
		"in halves":          iotest.HalfReader,
		"last read with EOF": iotest.DataErrReader,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := pdu.NewReader(split(bytes.NewReader(wire)))
			for _, p := range want {
				if got, err := r.Next(); err != nil || !reflect.DeepEqual(got, p) {
					t.Fatalf("got %+v %+v (%v), want %+v", got, got.Body, err, p.Body)
				}
			}
			for range 2 {
				if _, err := r.Next(); !errors.Is(err, io.EOF) {
					t.Errorf("got %v after the last, want io.EOF", err)
				}
			}
		})
	}
}

// TestReaderCut ends the stream within a PDU.
func TestReaderCut(t *testing.T) {
	t.Parallel()
	whole := octets(t, "submit_sm_gsm")
	for n := range len(whole) {
		r := pdu.NewReader(bytes.NewReader(append(bytes.Clone(whole), whole[:n]...)))
		if _, err := r.Next(); err != nil {
			t.Fatal(err)
		}
		want := io.ErrUnexpectedEOF
		if n == 0 {
			want = io.EOF
		}
		if p, err := r.Next(); !errors.Is(err, want) || p.Body != nil {
			t.Errorf("got %+v, %v after %d octets, want %v", p, err, n, want)
		}
	}
}

// TestReaderTimeout continues after a failed read, as after a read deadline.
func TestReaderTimeout(t *testing.T) {
	t.Parallel()
	wire, want := stream(t)
	r := pdu.NewReader(iotest.TimeoutReader(iotest.OneByteReader(bytes.NewReader(wire))))
	if _, err := r.Next(); !errors.Is(err, iotest.ErrTimeout) {
		t.Fatalf("got %v, want %v", err, iotest.ErrTimeout)
	}
	if r.Buffered() != 1 {
		t.Errorf("%d octets are buffered, want 1", r.Buffered())
	}
	for _, p := range want {
		if got, err := r.Next(); err != nil || !reflect.DeepEqual(got, p) {
			t.Fatalf("got %+v (%v), want %+v", got.Body, err, p.Body)
		}
	}
}

func TestReaderBuffered(t *testing.T) {
	t.Parallel()
	link := octets(t, "enquire_link")
	r := pdu.NewReader(bytes.NewReader(slices.Concat(link, link)))
	for _, want := range []int{0, 16, 0} {
		if got := r.Buffered(); got != want {
			t.Errorf("%d octets are buffered, want %d", got, want)
		}
		r.Next()
	}
}

// TestReaderGoesOn reads the PDU after malformed ones.
func TestReaderGoesOn(t *testing.T) {
	t.Parallel()
	r := pdu.NewReader(iotest.OneByteReader(bytes.NewReader(slices.Concat(
		frame(0x00000111, 0, "unknown"),
		frame(pdu.CommandDeliverSM, 0, noTLVs[:len(noTLVs)-1]),
		frame(pdu.CommandSubmitSM, 0, ""),
		octets(t, "enquire_link"),
	))))
	for _, want := range []pdu.Status{pdu.StatusInvalidCommandID, pdu.StatusInvalidMessageLength, pdu.StatusInvalidCommandLength} {
		_, err := r.Next()
		var wrong *pdu.Error
		if !errors.As(err, &wrong) || wrong.Status != want || wrong.Sequence != 7 || wrong.Fatal {
			t.Errorf("got %+v, want %s", err, want)
		}
	}
	if p, err := r.Next(); err != nil || p.Body.Command() != pdu.CommandEnquireLink {
		t.Errorf("got %+v (%v), want the enquire_link", p, err)
	}
}

// claim returns a header with a command_length.
func claim(length uint32) []byte {
	b := frame(pdu.CommandSubmitSM, 0, "")
	binary.BigEndian.PutUint32(b, length)
	return b
}

func TestReaderLength(t *testing.T) {
	t.Parallel()
	for _, length := range []uint32{0, 1, 15, pdu.MaxLength + 1, 1 << 31, 1<<32 - 1} {
		r := pdu.NewReader(io.MultiReader(bytes.NewReader(claim(length)), iotest.ErrReader(errors.New("read on"))))
		for range 2 {
			_, err := r.Next()
			want := pdu.Error{Command: pdu.CommandSubmitSM, Sequence: 7, Status: pdu.StatusInvalidCommandLength, Fatal: true}
			var got *pdu.Error
			if !errors.As(err, &got) {
				t.Fatalf("command_length %d: got %v", length, err)
			}
			want.Reason = got.Reason
			if *got != want {
				t.Errorf("command_length %d: got %+v, want %+v", length, *got, want)
			}
		}
	}

	full := append(claim(pdu.MaxLength), make([]byte, pdu.MaxLength-16)...)
	p, err := pdu.NewReader(bytes.NewReader(full)).Next()
	if err != nil || p.Body.Command() != pdu.CommandSubmitSM {
		t.Errorf("got %+v (%v), want a PDU of %d octets", p, err, pdu.MaxLength)
	}
}

// TestReaderMemory sends headers with a command_length of 4 GiB and of MaxLength, but
// no body: little memory is allocated.
func TestReaderMemory(t *testing.T) { //nolint:paralleltest // measures the memory of the process
	for _, length := range []uint32{1<<32 - 1, pdu.MaxLength} {
		source := bytes.NewReader(claim(length))
		r := pdu.NewReader(source)
		if n := allocated(func() {
			if _, err := r.Next(); err == nil {
				t.Error("read a PDU without a body")
			}
		}); n > 1024 {
			t.Errorf("allocated %d octets for a command_length of %d", n, length)
		}
	}
}

// allocated returns the octets that the process allocates during f.
func allocated(f func()) uint64 {
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	f()
	runtime.ReadMemStats(&after)
	return after.TotalAlloc - before.TotalAlloc
}
