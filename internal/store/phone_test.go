package store_test

import (
	"crypto/rand"
	"reflect"
	"testing"
	"time"

	"countersign/internal/deliver/virtual"
	"countersign/internal/message"
	"countersign/internal/store"
	"countersign/internal/verify"
)

func testPhone(t *testing.T, db *store.DB) {
	sms := virtual.Message{
		EventID: verify.NewID(rand.Reader), RequestID: verify.NewID(rand.Reader), Number: "447700900000",
		Channel: verify.SMS, From: "Acme", Text: "코드 1234 <b>", SentAt: at(2),
	}
	call := virtual.Message{
		EventID: verify.NewID(rand.Reader), RequestID: sms.RequestID, Number: "447700900000",
		Channel: verify.TTS, From: "VERIFY", Text: "1, 2, 3, 4", SentAt: at(1),
		Script: message.Script{Locale: "ko-kr", Parts: []message.Part{{Text: "A & B"}, {Spell: "1234"}, {Pause: time.Second}}},
	}
	other := sms
	other.EventID, other.Number = verify.NewID(rand.Reader), "447700900001"
	again := sms // the same event a second time: a copy that must be seen
	again.SentAt = at(3)

	for _, m := range []virtual.Message{sms, other, call, again} {
		must(t, db.AddMessage(t.Context(), m))
	}
	tests := []struct {
		name   string
		number string
		limit  int
		want   []virtual.Message // in the order of their arrival
	}{
		{"all of a number", sms.Number, 10, []virtual.Message{sms, call, again}},
		{"the newest of a number", sms.Number, 2, []virtual.Message{call, again}},
		{"another number", other.Number, 10, []virtual.Message{other}},
		{"no such number", "44770090000", 10, nil},
		{"all", "", 10, []virtual.Message{sms, other, call, again}},
		{"the newest of all", "", 3, []virtual.Message{other, call, again}},
	}
	for _, tt := range tests {
		if got, err := db.Messages(t.Context(), tt.number, tt.limit); err != nil || !reflect.DeepEqual(got, tt.want) {
			t.Errorf("%s: %+v, %v; want %+v", tt.name, got, err, tt.want)
		}
	}
	for _, want := range []virtual.Message{again, call} {
		if got, ok, err := db.Message(t.Context(), want.EventID); !ok || err != nil || !reflect.DeepEqual(got, want) {
			t.Errorf("Message(%s) = %+v, %v, %v; want %+v", want.EventID, got, ok, err, want)
		}
	}
	if _, ok, err := db.Message(t.Context(), verify.NewID(rand.Reader)); ok || err != nil {
		t.Errorf("a message of an unknown event: %v, %v", ok, err)
	}
}
