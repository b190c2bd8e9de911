package store

import (
	"testing"
	"time"

	"countersign/internal/verify"
)

// typical is an SMS with a receipt and one check, ended.
func typical() verify.Verification {
	at := time.Date(2026, 11, 30, 12, 0, 0, 123e6, time.UTC)
	after := func(seconds time.Duration) time.Time { return at.Add(seconds * time.Second) }
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
func testSealer() *sealer {
	var keys []*dataKey
	for i, p := range []purpose{forAccount, forSecret, forPIN, forCode} {
		keys = append(keys, newDataKey(int64(i+1), p, NewKey(), time.Time{}))
	}
	return newSealer(newKeySet(keys, time.Time{}))
}

func BenchmarkDocument(b *testing.B) {
	v, seal := typical(), testSealer()
	for _, kind := range []struct {
		name string
		seal *sealer
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
				if err := decodeDocument(&read, v.To.Canonical, []byte(doc), kind.seal); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
