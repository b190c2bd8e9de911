package fraud

import (
	"encoding/binary"
	"errors"
	"time"
)

// Number is the history of one number, by account. The zero value is an unused number. Its
// contents are never changed in place.
type Number struct {
	Uses []Use
}

// Use is the history of one number for one account.
type Use struct {
	Account     string      // API key
	Sends       []time.Time // messages, within the longest window
	Failed      []time.Time // checks with a wrong code, within the longest window
	Streak      int         // failed checks since the last success
	FailedAt    time.Time   // last failed check; zero without a streak
	LockedUntil time.Time   // zero if not locked
	VerifiedAt  time.Time   // last success; zero if unknown
}

func (u Use) empty() bool {
	return len(u.Sends)+len(u.Failed) == 0 && u.Streak == 0 && u.LockedUntil.IsZero() && u.VerifiedAt.IsZero()
}

func (n Number) use(account string) Use {
	for _, u := range n.Uses {
		if u.Account == account {
			return u
		}
	}
	return Use{}
}

// sends returns the messages of an account, or of all accounts if it is "".
func (n Number) sends(account string) []time.Time {
	return n.times(account, func(u Use) []time.Time { return u.Sends })
}

// failed returns the failed checks of an account, or of all accounts if it is "".
func (n Number) failed(account string) []time.Time {
	return n.times(account, func(u Use) []time.Time { return u.Failed })
}

func (n Number) times(account string, of func(Use) []time.Time) (list []time.Time) {
	if account != "" {
		return of(n.use(account))
	}
	if len(n.Uses) == 1 { // the usual case
		return of(n.Uses[0])
	}
	for _, u := range n.Uses {
		list = append(list, of(u)...)
	}
	return list
}

// encoding is the first byte of the stored form.
const encoding = 1

// Encode returns the stored form, with a few bytes for each time.
func (n Number) Encode() []byte {
	e := encoder{b: []byte{encoding}}
	for _, u := range n.Uses {
		e.text(u.Account)
		e.times(u.Sends)
		e.times(u.Failed)
		e.int(int64(u.Streak))
		for _, t := range []time.Time{u.FailedAt, u.LockedUntil, u.VerifiedAt} {
			if t.IsZero() {
				e.times(nil)
			} else {
				e.times([]time.Time{t})
			}
		}
	}
	return e.b
}

// encoder writes each time as the difference from the previous one.
type encoder struct {
	b    []byte
	last int64
}

func (e *encoder) int(i int64) { e.b = binary.AppendVarint(e.b, i) }

func (e *encoder) text(s string) {
	e.int(int64(len(s)))
	e.b = append(e.b, s...)
}

func (e *encoder) times(list []time.Time) {
	e.int(int64(len(list)))
	for _, t := range list {
		ms := t.UnixMilli()
		e.int(ms - e.last)
		e.last = ms
	}
}

// errEncoding means that Encode did not write the bytes.
var errEncoding = errors.New("number history: unknown or truncated encoding")

// Decode decodes the result of Encode.
func Decode(b []byte) (Number, error) {
	var n Number
	if len(b) == 0 || b[0] != encoding {
		return n, errEncoding
	}
	d := decoder{b: b[1:]}
	for len(d.b) > 0 && !d.broken {
		u := Use{Account: d.text(), Sends: d.times(), Failed: d.times(), Streak: int(d.int())}
		for _, to := range []*time.Time{&u.FailedAt, &u.LockedUntil, &u.VerifiedAt} {
			if one := d.times(); len(one) > 0 {
				*to = one[0]
			}
		}
		n.Uses = append(n.Uses, u)
	}
	if d.broken {
		return Number{}, errEncoding
	}
	return n, nil
}

type decoder struct {
	b      []byte
	last   int64
	broken bool
}

func (d *decoder) int() int64 {
	i, size := binary.Varint(d.b)
	if size <= 0 {
		d.b, d.broken = nil, true
		return 0
	}
	d.b = d.b[size:]
	return i
}

// length reads the number of bytes or times that follow. Each takes at least one byte.
func (d *decoder) length() int {
	n := d.int()
	if n < 0 || n > int64(len(d.b)) {
		d.b, d.broken = nil, true
		return 0
	}
	return int(n)
}

func (d *decoder) text() string {
	n := d.length()
	s := string(d.b[:n])
	d.b = d.b[n:]
	return s
}

func (d *decoder) times() []time.Time {
	n := d.length()
	if n == 0 {
		return nil
	}
	list := make([]time.Time, n)
	for i := range list {
		d.last += d.int()
		list[i] = time.UnixMilli(d.last).UTC()
	}
	return list
}
