// Package template manages the custom templates of accounts: submission, download of
// recordings, review by the operator, preview, storage and cache. Package message parses,
// checks and renders one template.
//
// The package does not depend on the HTTP side of the API or on carriers.
package template

import (
	"cmp"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"net/mail"
	"strings"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"countersign/internal/account"
	"countersign/internal/deliver/gsm"
	"countersign/internal/deliver/tts/audio"
	"countersign/internal/message"
	"countersign/internal/outbound"
	"countersign/internal/store"
	"countersign/internal/verify"
)

// Names of recordings in the published API: these two and digit_0 to digit_9.
const (
	Welcome = "welcome_message"
	Bye     = "bye_message"
)

// Encodings of an SMS template.
const (
	EncodingText    = "text"    // only the GSM 03.38 alphabet
	EncodingUnicode = "unicode" // any characters
)

// Bounds of a template.
const (
	maxSegments  = 3 // segments of an SMS with the longest brand and PIN
	maxSound     = 1 << 20
	maxDigit     = 3 * time.Second
	maxMessage   = 10 * time.Second // length of each of the two messages
	maxCall      = 30 * time.Second // length of a call with the longest PIN
	maxContact   = 254              // RFC 5321 §4.5.3.1.3
	betweenParts = 250 * time.Millisecond
	digitPace    = 800 * time.Millisecond // minimum from start to start
)

// Draft is a template as submitted by an account.
type Draft struct {
	Account  verify.Account // account that submits the template
	Channel  verify.Channel
	Locale   string // lg: a locale with texts, or any other locale for an SMS or recordings
	Text     string
	Encoding string            // "" to select the one that the text needs
	Sounds   map[string]string // URLs of recordings, by name
	Contact  string
}

// Error is the defect of a draft.
type Error struct {
	Param  string // name of the parameter in the published API
	Reason string
}

func (e *Error) Error() string { return e.Param + ": " + e.Reason }

func wrong(param, format string, args ...any) error {
	return &Error{Param: param, Reason: fmt.Sprintf(format, args...)}
}

// Desk accepts, checks and stores templates.
type Desk struct {
	Store    *store.DB
	Messages *message.Catalog
	Fetch    *outbound.Client
	// Approve activates a template on submission, without review.
	Approve bool
	// Policy limits the texts of all accounts.
	Policy account.Policy

	mu       sync.Mutex
	fetching map[string]bool // accounts with a download of recordings in progress
}

// maxFetching is the maximum number of accounts with a download in progress. A download
// uses connections, memory and, for resampling, CPU.
const maxFetching = 4

// ErrBusy is returned by Create while recordings of another template of the account, or of
// too many other accounts, are being downloaded.
var ErrBusy = errors.New("other templates are being fetched; try again")

// fetch acquires a download slot for an account. ok is false if no slot is free.
func (d *Desk) fetch(account string) (done func(), ok bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.fetching[account] || len(d.fetching) >= maxFetching {
		return nil, false
	}
	if d.fetching == nil {
		d.fetching = map[string]bool{}
	}
	d.fetching[account] = true
	return func() {
		d.mu.Lock()
		defer d.mu.Unlock()
		delete(d.fetching, account)
	}, true
}

// Create checks a draft and adds it as the next version. It returns a [verify.Error] if the
// account policy refuses it, and an [Error] for any other defect.
func (d *Desk) Create(ctx context.Context, draft Draft, now time.Time) (store.Template, error) {
	t := store.Template{
		ID: verify.NewID(rand.Reader), Account: draft.Account.Key, Channel: draft.Channel, Text: draft.Text,
		Contact: draft.Contact, CreatedAt: now,
	}
	if err := d.Policy.Template(draft.Account, draft.Text); err != nil {
		return t, err
	}
	if draft.Contact != "" {
		if a, err := mail.ParseAddress(draft.Contact); err != nil || a.Address != draft.Contact || len(draft.Contact) > maxContact {
			return t, wrong("contact_email", "not an e-mail address")
		}
	}
	var err error
	if t.Locale, err = d.locale(draft); err != nil {
		return t, err
	}
	if t.Encoding, err = d.examine(draft); err != nil {
		return t, err
	}
	var recordings []store.Recording
	if len(draft.Sounds) > 0 {
		done, ok := d.fetch(draft.Account.Key)
		if !ok {
			return t, ErrBusy
		}
		defer done()
		if recordings, t.Recordings, err = d.record(ctx, draft.Sounds); err != nil {
			return t, err
		}
	}
	return d.Store.AddTemplate(ctx, t, recordings, d.Approve)
}

// locale checks lg. A call without recordings requires a locale with texts.
func (d *Desk) locale(draft Draft) (string, error) {
	locale := message.LocaleName(draft.Locale)
	if !message.IsLocaleName(locale) {
		return "", wrong("lg", "%.20q is not a locale such as en-us", draft.Locale)
	}
	if draft.Channel.Spoken() && len(draft.Sounds) == 0 && !d.Messages.Has(locale) {
		return "", wrong("lg", "no voice speaks %s: give recordings of the digits, %s and %s", locale, Welcome, Bye)
	}
	return locale, nil
}

// examine checks the content of a draft and returns the encoding of an SMS.
func (d *Desk) examine(draft Draft) (encoding string, err error) {
	switch {
	case !draft.Channel.Spoken() && len(draft.Sounds) > 0:
		return "", wrong(anyOf(draft.Sounds), "an %s has no sound", draft.Channel.Info().Noun)
	case draft.Text != "" && len(draft.Sounds) > 0:
		return "", wrong("template", "a call has either words or recordings")
	case len(draft.Sounds) > 0:
		return "", complete(draft.Sounds)
	case draft.Text == "":
		return "", wrong("template", "missing")
	}
	custom, err := message.ParseCustom(draft.Channel, draft.Locale, draft.Text)
	if err != nil {
		return "", wrong("template", "%s", err)
	}
	if !draft.Channel.Info().Segmented {
		return "", nil
	}
	longest := custom.Text(sample(strings.Repeat("W", 18), "0123456789", time.Hour))
	if n := gsm.Segments(longest, gsm.Options{}); n > maxSegments {
		return "", wrong("template", "%d segments with the longest brand and PIN, at most %d", n, maxSegments)
	}
	return encodingOf(draft)
}

func encodingOf(draft Draft) (string, error) {
	foreign := strings.IndexFunc(draft.Text, func(r rune) bool {
		m, err := gsm.Encode(string(r), gsm.Options{}, 0)
		return err != nil || m.Coding.Alphabet != gsm.GSM7
	})
	switch needed := EncodingText; draft.Encoding {
	case "":
		if foreign >= 0 {
			needed = EncodingUnicode
		}
		return needed, nil
	case EncodingUnicode:
		return EncodingUnicode, nil
	case EncodingText:
		if foreign >= 0 {
			return "", wrong("type", "%q is not in the GSM alphabet: unicode is needed", []rune(draft.Text[foreign:])[0])
		}
		return EncodingText, nil
	}
	return "", wrong("type", "%.20q is neither %s nor %s", draft.Encoding, EncodingText, EncodingUnicode)
}

// SoundNames returns the names of all recordings of a call.
func SoundNames() []string {
	list := []string{Welcome, Bye}
	for i := range 10 {
		list = append(list, digitName(i))
	}
	return list
}

func digitName(i int) string { return fmt.Sprintf("digit_%d", i) }

func anyOf(sounds map[string]string) string {
	for _, name := range SoundNames() {
		if _, ok := sounds[name]; ok {
			return name
		}
	}
	return "template"
}

func complete(sounds map[string]string) error {
	for _, name := range SoundNames() {
		if sounds[name] == "" {
			return wrong(name, "missing: recordings need %s, %s and all ten digits", Welcome, Bye)
		}
	}
	return nil
}

// fetchTime bounds the download of all recordings of a template.
const fetchTime = 12 * time.Second

// record downloads the recordings for storage, so that calls do not depend on their URLs.
func (d *Desk) record(ctx context.Context, urls map[string]string) ([]store.Recording, map[string]verify.ID, error) {
	ctx, cancel := context.WithTimeout(ctx, fetchTime)
	defer cancel()
	list := SoundNames()
	sounds := make([]audio.Samples, len(list))
	fetching, ctx := errgroup.WithContext(ctx)
	fetching.SetLimit(4)
	for i, name := range list {
		fetching.Go(func() (err error) {
			sounds[i], err = d.sound(ctx, name, urls[name])
			return err
		})
	}
	if err := fetching.Wait(); err != nil {
		return nil, nil, err
	}
	var recordings []store.Recording
	ids := map[string]verify.ID{}
	var total, longest time.Duration
	for i, name := range list {
		if name == Welcome || name == Bye {
			total += sounds[i].Duration()
		} else {
			longest = max(longest, sounds[i].Duration())
		}
		ids[name] = verify.NewID(rand.Reader)
		recordings = append(recordings, store.Recording{ID: ids[name], Sound: sounds[i].MuLaw()})
	}
	if total += verify.MaxPINLength * max(longest+betweenParts, digitPace); total > maxCall {
		return nil, nil, wrong(Welcome, "call of %s with the longest PIN, at most %s", total.Round(time.Second), maxCall)
	}
	return recordings, ids, nil
}

// sound downloads one recording and converts it for telephony: 8,000 samples a second,
// equal loudness, without silence at either end.
func (d *Desk) sound(ctx context.Context, name, url string) (audio.Samples, error) {
	b, err := d.Fetch.Get(ctx, url, maxSound)
	if err != nil {
		return nil, wrong(name, "%s", err)
	}
	sound, err := audio.ParseWAV(b)
	if err != nil {
		return nil, wrong(name, "%s", strings.TrimPrefix(err.Error(), "audio: "))
	}
	limit := maxDigit
	if name == Welcome || name == Bye {
		limit = maxMessage
	}
	if sound = sound.Trim(); len(sound) == 0 {
		return nil, wrong(name, "silent recording")
	}
	if sound.Duration() > limit {
		return nil, wrong(name, "recording of %s, at most %s", sound.Duration().Round(100*time.Millisecond), limit)
	}
	return sound.Level(), nil
}

// sample returns the input for checks and previews of templates.
func sample(brand, pin string, validFor time.Duration) message.Input {
	code, _ := verify.ParsePIN(pin)
	return message.Input{Brand: brand, PIN: code, ValidFor: validFor}
}

// Preview is a rendered template.
type Preview struct {
	Text     string // text of the SMS, or words of the call
	Encoding string // encoding of the SMS
	Segments int    // number of segments of the SMS
	Script   message.Script
}

// Show renders a template for a brand and a PIN that is valid for five minutes, with the
// account's last line of an SMS.
func Show(t store.Template, fill verify.Autofill, brand, pin string) (Preview, error) {
	if _, ok := verify.ParsePIN(pin); !ok {
		return Preview{}, errors.New("the PIN must have 4 to 10 letters or digits")
	}
	custom, err := parse(t)
	if err != nil {
		return Preview{}, err
	}
	in := sample(cmp.Or(brand, "Acme"), pin, 5*time.Minute)
	switch info := t.Channel.Info(); {
	case info.Spoken:
		script := custom.Call(in)
		return Preview{Text: script.Words(), Script: script}, nil
	case !info.Segmented:
		return Preview{Text: custom.Text(in)}, nil
	}
	p := Preview{Text: end(fill.Line(in.PIN), custom.Text(in)), Encoding: EncodingText}
	m, err := gsm.Encode(p.Text, gsm.Options{}, 0)
	if err != nil {
		return p, err
	}
	if m.Coding.Alphabet != gsm.GSM7 {
		p.Encoding = EncodingUnicode
	}
	p.Segments = m.Segments
	return p, nil
}

// parse parses a stored template.
func parse(t store.Template) (message.Custom, error) {
	if len(t.Recordings) == 0 {
		return message.ParseCustom(t.Channel, t.Locale, t.Text)
	}
	r := message.Recordings{Welcome: t.Recordings[Welcome].String(), Bye: t.Recordings[Bye].String()}
	for i := range r.Digits {
		r.Digits[i] = t.Recordings[digitName(i)].String()
	}
	return message.Recorded(t.Locale, r), nil
}
