package store

import (
	"bytes"
	"cmp"
	"context"
	"database/sql"
	"encoding/hex"
	"errors"
	"fmt"
	"reflect"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"countersign/internal/record"
	"countersign/internal/vault"
	"countersign/internal/verify"
)

// typical is an SMS with a receipt and one check, ended.
func typical() verify.Verification {
	at := t1
	after := func(seconds int) time.Time { return at.Add(time.Duration(seconds) * time.Second) }
	code, _ := verify.ParsePIN("1234")
	return verify.Verification{
		ID: verify.ID{1, 2, 3},
		Request: verify.Request{
			Account: "demo0001", To: verify.Address{Kind: verify.Phone, Given: "447700900000", Canonical: "447700900000", Country: "GB"},
			Brand: "Acme", Locale: "en-gb", CodeLength: 4,
			Workflow: verify.Workflow{
				Steps: []verify.Step{
					{Channel: verify.SMS, Wait: 125 * time.Second}, {Channel: verify.TTS, Wait: 3 * time.Minute}, {Channel: verify.TTS, Wait: 5 * time.Minute},
				},
				PINLife: 5 * time.Minute, PINPolicy: verify.ReusePIN, CancelAfter: 30 * time.Second,
			},
		},
		Price: 12_050_000, Paid: true, Status: verify.Success, SubmittedAt: at, FinalizedAt: after(20), Generation: 1, PINExpiresAt: after(300),
		Events: []verify.Event{{
			ID: verify.ID{9, 9}, Channel: verify.SMS, Generation: 1, State: verify.EventDelivered, Attempt: 1, StartedAt: at, Carrier: "acme-sms",
			Costs: []verify.Cost{{Attempt: 1, Part: -1, Amount: 3_000_000}},
			Parts: []verify.Part{{Attempt: 1, Count: 1, Carrier: "acme-sms", Ref: "0a1b2c3d4e5f", State: verify.EventDelivered, ReportedAt: after(3)}},
		}},
		Checks: []verify.Check{{Generation: 1, Code: code, Valid: true, IPAddress: "192.0.2.1", ReceivedAt: after(20)}},
		Facts: []verify.Fact{
			{At: at, Kind: verify.Started}, {At: at, Kind: verify.Charged, Amount: 12_050_000},
			{At: after(1), Kind: verify.EventSent, State: verify.EventAccepted, Carrier: "acme-sms"},
			{At: after(3), Kind: verify.EventReported, State: verify.EventDelivered, Carrier: "acme-sms"},
			{At: after(20), Kind: verify.CodeChecked, Valid: true}, {At: after(20), Kind: verify.Finished, Status: verify.Success},
		},
	}
}

// PastDocument returns the document in the archive of a verification with an event, a part
// with a ref, a check and their facts.
func PastDocument(ref string) []byte {
	v := typical()
	v.Events[0].Parts[0].Ref = ref
	b, err := encodeDocument(&v, nil)
	if err != nil {
		panic(err)
	}
	return b
}

// testSealer returns a sealer with new data keys.
func testSealer() *vault.Sealer {
	key, now := vault.NewKey(), typical().SubmittedAt
	v, err := vault.Open(vault.Create(key, now), vault.Config{Key: key}, now)
	if err != nil {
		panic(err)
	}
	return v.Sealer()
}

// keyRows are the rows of a vault. Reading fails with err.
type keyRows struct {
	vault.Rows
	err error
}

func (k *keyRows) ReadKeys(context.Context) (vault.Rows, error) { return k.Rows, k.err }

func (k *keyRows) ChangeKeys(_ context.Context, change func(vault.Rows) (vault.Rows, error)) (err error) {
	k.Rows, err = change(k.Rows)
	return err
}

func (*keyRows) SealedBefore(context.Context, vault.Purpose, time.Time, time.Time) (bool, error) {
	return false, nil
}

// TestUnavailableBesideBroken: if one code cannot be opened and the keys of another cannot
// be read, the error is ErrUnavailable and not ErrBroken.
func TestUnavailableBesideBroken(t *testing.T) {
	t.Parallel()
	key, v := vault.NewKey(), typical()
	rows := &keyRows{Rows: vault.Create(key, v.SubmittedAt)}
	var nodes [2]*vault.Vault
	for i := range nodes {
		var err error
		if nodes[i], err = vault.Open(rows.Rows, vault.Config{Key: key, Records: rows}, v.SubmittedAt); err != nil {
			t.Fatal(err)
		}
	}
	tomorrow := v.SubmittedAt.Add(24 * time.Hour)
	if err := nodes[0].NewDataKeys(t.Context(), tomorrow); err != nil {
		t.Fatal(err)
	}
	v.Checks = []verify.Check{v.Checks[0], v.Checks[0]}
	v.Checks[1].ReceivedAt = tomorrow.Add(time.Hour) // sealed with a key that the other node lacks
	doc, err := encodeDocument(&v, nodes[0].Sealer())
	if err != nil {
		t.Fatal(err)
	}
	rows.err = errors.New("no connection")
	read := verify.Verification{ID: verify.ID{9}, SubmittedAt: v.SubmittedAt} // a code cannot be opened for another verification
	if err := decodeDocument(&read, v.To.Canonical, doc, nodes[1].Sealer()); !errors.Is(err, vault.ErrUnavailable) {
		t.Errorf("%v, want ErrUnavailable", err)
	}
}

// whole is a verification with a value in every stored field but the codes.
func whole() verify.Verification {
	v := typical()
	after := func(d time.Duration) time.Time { return v.SubmittedAt.Add(d) }
	v.To = verify.Address{Kind: verify.Phone, Country: "AR", Given: "5491123456789", Canonical: "541123456789"}
	v.Payment = &verify.Payment{Payee: "Jane Doe", Amount: "9.50"}
	v.Sender, v.Payer, v.Unsent, v.Tries = "ACME", "payer001", true, 2
	v.Workflow.Test, v.Workflow.Speed = true, 60
	v.Workflow.Steps[1].To = verify.PhoneAddress("33612345678", "FR")
	v.Workflow.Steps[1].From, v.Workflow.Steps[1].PINPolicy = "447700900001", verify.RenewPIN
	e := &v.Events[0]
	e.Error = "err 12"
	e.Failures = verify.Failures{{Carrier: "other", Error: "0x0008", Text: "system error", Attempt: 1}}
	e.Parts[0].Seq, e.Parts[0].Count, e.Parts[0].Error = 1, 2, "err 3"
	v.Facts = append(v.Facts, verify.Fact{At: after(21 * time.Second), Kind: verify.Capped, Event: 1, Cap: "checks", Until: after(24 * time.Hour)})
	v.Checks[0].Code = verify.PIN{}
	return v
}

// documentOctets is the document of whole: a later change of the form would break stored rows.
const documentOctets = `
08021207535543434553531a1a0a0570686f6e65120241521a0d35343931313233343536373839220441636d652a05656e2d676230083a630a090a03
736d731090a10f0a380a0374747310c0fc151a180a0570686f6e6512024652220b3333363132333435363738220c3434373730303930303030312a05
72656e65770a090a0374747310c0cf2410c0cf241a05726575736520e0d4032802307840a0f9be0b4802500258c0cf246a9b010a1009090000000000
0000000000000000001203736d731802220964656c697665726564280230003a0861636d652d736d7342066572722031324a1f0a056f746865721206
3078303030381a0c73797374656d206572726f72200252090802100118809bee025a33080210021804220861636d652d736d732a0c30613162326333
6434653566320964656c6976657265643a05657272203340f02e72130802180222093139322e302e322e3128c0b8027a0b0800120773746172746564
7a10080012076368617267656440a0f9be0b7a2308d00f120a6576656e745f73656e74220861636365707465642a0861636d652d736d737a2808f02e
120e6576656e745f7265706f72746564220964656c6976657265642a0861636d652d736d737a1408c0b802120c636f64655f636865636b656430027a
1408c0b8021205656e6465643a07535543434553537a1b0890c802120663617070656418024a06636865636b735080f0b2528201100a04392e353012
084a616e6520446f658a010441434d459201087061796572303031980102a80104
`

// TestDocumentVersion1: the octets of version 1 are fixed, in both directions.
func TestDocumentVersion1(t *testing.T) {
	t.Parallel()
	v := whole()
	d := document{Codec: record.Writer(v.SubmittedAt), v: &v, personal: true}
	d.verification()
	got, err := d.Written()
	if want := strings.ReplaceAll(documentOctets, "\n", ""); fmt.Sprintf("%x", got) != want || err != nil {
		t.Errorf("the document is %x (%v), want\n%s", got, err, want)
	}
	stored, err := hex.DecodeString(strings.ReplaceAll(documentOctets, "\n", ""))
	if err != nil {
		t.Fatal(err)
	}
	wantDecoded(t, v, stored, nil)
}

// wantDecoded checks that a document decodes to a verification, with the columns of its row.
func wantDecoded(t rapid.TB, want verify.Verification, doc []byte, seal *vault.Sealer) {
	t.Helper()
	got := verify.Verification{ID: want.ID, SubmittedAt: want.SubmittedAt, FinalizedAt: want.FinalizedAt, NextAt: want.NextAt, Lease: want.Lease}
	got.Account = want.Account
	if err := decodeDocument(&got, want.To.Canonical, doc, seal); err != nil {
		t.Fatal(err)
	}
	if !reflect.DeepEqual(got, want) {
		t.Fatalf("the document decodes to\n%+v\nwant\n%+v", got, want)
	}
}

// verifications generates verifications in the form in which rows are read.
func verifications() *rapid.Generator[verify.Verification] {
	ms := rapid.OneOf(rapid.Just[int64](0), rapid.Int64Range(0, 1<<42))
	generated := rapid.MakeCustom[verify.Verification](rapid.MakeConfig{Types: map[reflect.Type]*rapid.Generator[any]{
		reflect.TypeFor[time.Time](): rapid.Map(ms, func(ms int64) time.Time {
			return fromMillisOrNull(sql.NullInt64{Int64: ms, Valid: ms != 0})
		}).AsAny(),
		reflect.TypeFor[time.Duration](): rapid.Map(ms, func(ms int64) time.Duration { return time.Duration(ms) * time.Millisecond }).AsAny(),
		reflect.TypeFor[verify.PIN](): rapid.Map(rapid.StringMatching(`|[0-9A-Za-z]{4,10}`), func(s string) verify.PIN {
			p, _ := verify.ParsePIN(s)
			return p
		}).AsAny(),
		reflect.TypeFor[verify.Address](): rapid.Custom(func(t *rapid.T) verify.Address {
			a := verify.PhoneAddress(rapid.StringMatching(`[1-9][0-9]{6,14}`).Draw(t, "number"), rapid.StringMatching(`|[A-Z]{2}`).Draw(t, "country"))
			return rapid.SampledFrom([]verify.Address{a, {}}).Draw(t, "address")
		}).AsAny(),
	}, Kinds: map[reflect.Kind]*rapid.Generator[any]{
		reflect.String: rapid.Map(rapid.String(), func(s string) string { return strings.ReplaceAll(s, "\x00", "") }).AsAny(), // see TestDocumentText
	}})
	return rapid.Map(generated, func(v verify.Verification) verify.Verification {
		v.Source, v.Premium = "", false // not stored
		v.SubmittedAt = cmp.Or(v.SubmittedAt, t1)
		v.To = cmp.Or(v.To, verify.PhoneAddress("447700900000", "GB"))
		v.Events = v.Events[:min(len(v.Events), len(v.Workflow.Steps))]
		if !v.ChosenPIN.IsZero() {
			v.ChosenPIN = v.PIN
		}
		for i := range v.Events {
			v.Events[i].Seq = i
		}
		dropEmpty(reflect.ValueOf(&v).Elem())
		return v
	})
}

// t1 is a time of submission.
var t1 = time.Date(2026, 11, 30, 12, 0, 0, 123e6, time.UTC)

// dropEmpty replaces empty lists by nil, which decoding returns for them.
func dropEmpty(v reflect.Value) {
	switch {
	case v.Kind() == reflect.Slice && v.Len() == 0 && v.CanSet():
		v.SetZero()
	case v.Kind() == reflect.Slice:
		for i := range v.Len() {
			dropEmpty(v.Index(i))
		}
	case v.Kind() == reflect.Struct:
		for i := range v.NumField() {
			dropEmpty(v.Field(i))
		}
	}
}

// TestDocumentRoundTrip: a document decodes to the verification that it was made of, and in
// the archive, with its personal data, to one without codes.
func TestDocumentRoundTrip(t *testing.T) {
	t.Parallel()
	seal := testSealer()
	rapid.Check(t, func(t *rapid.T) {
		v := verifications().Draw(t, "verification")
		doc, err := encodeDocument(&v, seal)
		if err != nil {
			t.Fatal(err)
		}
		wantDecoded(t, v, doc, seal)

		archived, err := encodeDocument(&v, nil)
		if err != nil {
			t.Fatal(err)
		}
		personal, err := encodePersonal(&v)
		if err != nil {
			t.Fatal(err)
		}
		got := verify.Verification{ID: v.ID, SubmittedAt: v.SubmittedAt, FinalizedAt: v.FinalizedAt, NextAt: v.NextAt, Lease: v.Lease}
		got.Account = v.Account
		if err := errors.Join(decodeDocument(&got, v.To.Canonical, archived, nil), decodePersonal(&got, personal)); err != nil {
			t.Fatal(err)
		}
		v.PIN, v.ChosenPIN = verify.PIN{}, verify.PIN{}
		for i := range v.Checks {
			v.Checks[i].Code = verify.PIN{}
		}
		if !reflect.DeepEqual(got, v) {
			t.Fatalf("from the archive it is\n%+v\nwant\n%+v", got, v)
		}
	})
}

// TestDocumentText: texts of carriers are read as UTF-8 without zero octets, refs unchanged.
func TestDocumentText(t *testing.T) {
	t.Parallel()
	const raw, spelled = "a\xff\x00é", `a\xff\x00é`
	v := typical()
	e := &v.Events[0]
	e.Error, e.Parts[0].Error, e.Parts[0].Ref = raw, raw, raw
	e.Failures = verify.Failures{{Carrier: "a", Error: raw, Text: raw}}
	doc, err := encodeDocument(&v, testSealer())
	if err != nil {
		t.Fatal(err)
	}
	e.Error, e.Parts[0].Error = spelled, spelled
	e.Failures[0].Error, e.Failures[0].Text = spelled, spelled
	v.Checks[0].Code = verify.PIN{}
	wantDecoded(t, v, doc, nil)
}

// TestDocumentOfNewerProgram: fields that this program does not use are skipped, and a version
// that it does not read is an error.
func TestDocumentOfNewerProgram(t *testing.T) {
	t.Parallel()
	v := typical()
	v.Checks[0].Code = verify.PIN{}
	doc, err := encodeDocument(&v, nil)
	if err != nil {
		t.Fatal(err)
	}
	v.Checks[0].IPAddress = ""
	wantDecoded(t, v, append(doc, 0xf8, 0x0f, 0x07, 0xfa, 0x0f, 0x01, 'x'), nil) // fields 255, a number and a text
	doc[1] += 2
	if err := decodeDocument(&v, "", doc, nil); !errors.Is(err, errVersion) {
		t.Errorf("version 2: %v, want errVersion", err)
	}
}

// FuzzDocument: any octets are refused, or are a verification that can be stored again.
func FuzzDocument(f *testing.F) {
	v := whole()
	seal := testSealer()
	for _, s := range []*vault.Sealer{nil, seal} {
		doc, err := encodeDocument(&v, s)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(doc)
		for i := 0; i < len(doc); i += 5 {
			f.Add(doc[:i])
			changed := bytes.Clone(doc)
			changed[i] ^= 0x81
			f.Add(changed)
		}
	}
	f.Fuzz(func(t *testing.T, doc []byte) {
		first := verify.Verification{ID: v.ID, SubmittedAt: v.SubmittedAt}
		if err := decodeDocument(&first, "447700900000", doc, nil); err != nil {
			if !reflect.DeepEqual(first.Events, []verify.Event(nil)) {
				t.Errorf("%v, and it has events", err)
			}
			return
		}
		stored, err := encodeDocument(&first, seal)
		if err != nil {
			t.Fatal(err)
		}
		second := verify.Verification{ID: v.ID, SubmittedAt: v.SubmittedAt}
		if err := decodeDocument(&second, "447700900000", stored, seal); err != nil {
			t.Fatalf("stored again: %v", err)
		}
	})
}

func BenchmarkDocument(b *testing.B) {
	v, seal := typical(), testSealer()
	for _, kind := range []struct {
		name string
		seal *vault.Sealer
	}{{"sealed", seal}, {"archive", nil}} {
		doc, err := encodeDocument(&v, kind.seal)
		if err != nil {
			b.Fatal(err)
		}
		b.Run(kind.name+"/encode", func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if _, err := encodeDocument(&v, kind.seal); err != nil {
					b.Fatal(err)
				}
			}
			b.ReportMetric(float64(len(doc)), "octets")
		})
		b.Run(kind.name+"/decode", func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				read := verify.Verification{ID: v.ID, SubmittedAt: v.SubmittedAt}
				if err := decodeDocument(&read, v.To.Canonical, doc, kind.seal); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
