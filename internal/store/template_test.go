package store_test

import (
	"crypto/rand"
	"errors"
	"fmt"
	"slices"
	"testing"

	"countersign/internal/store"
	"countersign/internal/verify"
)

func newTemplate(text string) store.Template {
	return store.Template{
		ID: verify.NewID(rand.Reader), Account: "demo0001", Channel: verify.SMS, Locale: "en-us",
		Encoding: "text", Text: text, Contact: "a@example.com", CreatedAt: t0,
	}
}

func testTemplates(t *testing.T, db *store.DB) {
	addAccount(t, db, "demo0001", 0)
	add := func(tmpl store.Template, r ...store.Recording) store.Template {
		t.Helper()
		added, err := db.AddTemplate(t.Context(), tmpl, r, false)
		must(t, err)
		return added
	}
	statuses := func() (list []string) {
		t.Helper()
		all, err := db.Templates(t.Context(), "demo0001", "")
		must(t, err)
		for _, tmpl := range all {
			list = append(list, fmt.Sprintf("%s %s %d %s", tmpl.Channel, tmpl.Locale, tmpl.Version, tmpl.Status))
		}
		return list
	}
	want := func(want ...string) {
		t.Helper()
		if got := statuses(); !slices.Equal(got, want) {
			t.Errorf("templates are %q, want %q", got, want)
		}
	}
	sound := store.Recording{ID: verify.NewID(rand.Reader), Sound: []byte{1, 2, 3}}
	first, second := add(newTemplate("a ${pin}")), add(newTemplate("b ${pin}"))
	call := newTemplate("")
	call.Channel, call.Locale, call.Encoding = verify.TTS, "en-ie", ""
	call.Recordings = map[string]verify.ID{"digit_0": sound.ID}
	call = add(call, sound)
	want("sms en-us 1 PENDING", "sms en-us 2 PENDING", "tts en-ie 1 PENDING")
	if got, err := db.Template(t.Context(), call.ID); err != nil || fmt.Sprint(got) != fmt.Sprint(call) {
		t.Errorf("got %+v, %v; want %+v", got, err, call)
	}
	if got, err := db.Recording(t.Context(), sound.ID); err != nil || !slices.Equal(got, sound.Sound) {
		t.Errorf("the recording is %v, %v", got, err)
	}

	if _, err := db.RollBackTemplate(t.Context(), second.ID, at(1)); !errors.Is(err, store.ErrTemplateStatus) {
		t.Errorf("roll back an inactive template: %v", err)
	}
	for _, id := range []verify.ID{second.ID, second.ID, call.ID} { // the second time it is already active
		_, err := db.ApproveTemplate(t.Context(), id, at(1))
		must(t, err)
	}
	want("sms en-us 1 PENDING", "sms en-us 2 ACTIVE", "tts en-ie 1 ACTIVE")
	if _, err := db.RollBackTemplate(t.Context(), second.ID, at(2)); !errors.Is(err, store.ErrNoEarlier) {
		t.Errorf("roll back to a template that was never approved: %v", err)
	}
	third := add(newTemplate("c ${pin}"))
	_, err := db.ApproveTemplate(t.Context(), third.ID, at(3))
	must(t, err)
	_, err = db.RetireTemplate(t.Context(), first.ID) // rejected
	must(t, err)
	want("sms en-us 1 RETIRED", "sms en-us 2 RETIRED", "sms en-us 3 ACTIVE", "tts en-ie 1 ACTIVE")
	earlier, err := db.RollBackTemplate(t.Context(), third.ID, at(4))
	must(t, err)
	if earlier.ID != second.ID || !earlier.ApprovedAt.Equal(at(4)) {
		t.Errorf("rolled back to %+v", earlier)
	}
	want("sms en-us 1 RETIRED", "sms en-us 2 ACTIVE", "sms en-us 3 RETIRED", "tts en-ie 1 ACTIVE")
	active, err := db.Templates(t.Context(), "", store.TemplateActive)
	must(t, err)
	if len(active) != 2 || active[0].Text != "b ${pin}" {
		t.Errorf("in use: %+v", active)
	}
}

// testTemplatesRollBack: a rollback returns to the template that was active before, by time
// and not by version, and skips rolled-back templates.
func testTemplatesRollBack(t *testing.T, db *store.DB) {
	addAccount(t, db, "demo0001", 0)
	var v []store.Template
	add := func(inUse bool) store.Template {
		t.Helper()
		tmpl := newTemplate("${pin}")
		tmpl.CreatedAt = at(float64(len(v)))
		added, err := db.AddTemplate(t.Context(), tmpl, nil, inUse)
		must(t, err)
		v = append(v, added)
		return added
	}
	back := func(from store.Template, s float64, want store.Template) {
		t.Helper()
		got, err := db.RollBackTemplate(t.Context(), from.ID, at(s))
		must(t, err)
		if got.ID != want.ID {
			t.Errorf("rolled back to version %d, want %d", got.Version, want.Version)
		}
	}
	for range 3 {
		if tmpl := add(true); tmpl.Status != store.TemplateActive {
			t.Errorf("added %+v, want it in use", tmpl)
		}
	}
	back(v[2], 10, v[1])
	fourth := add(false)
	_, err := db.ApproveTemplate(t.Context(), fourth.ID, at(11))
	must(t, err)
	back(fourth, 12, v[1])
	back(v[1], 13, v[0])
	_, err = db.ApproveTemplate(t.Context(), v[2].ID, at(14))
	must(t, err)
	_, err = db.ApproveTemplate(t.Context(), v[1].ID, at(15)) // an older version
	must(t, err)
	back(v[1], 16, v[2])
	_, err = db.RetireTemplate(t.Context(), v[0].ID)
	must(t, err)
	if _, err := db.RollBackTemplate(t.Context(), v[2].ID, at(17)); !errors.Is(err, store.ErrNoEarlier) {
		t.Errorf("rolled back to a rolled-back template: %v", err)
	}
}

func testTemplatesUnknown(t *testing.T, db *store.DB) {
	if _, err := db.AddTemplate(t.Context(), newTemplate("${pin}"), nil, false); !errors.Is(err, store.ErrNoAccount) {
		t.Errorf("for an unknown account: %v", err)
	}
	id := verify.NewID(rand.Reader)
	_, approve := db.ApproveTemplate(t.Context(), id, t0)
	_, retire := db.RetireTemplate(t.Context(), id)
	_, recording := db.Recording(t.Context(), id)
	for _, err := range []error{approve, retire, recording} {
		if !errors.Is(err, store.ErrNoTemplate) {
			t.Errorf("of an unknown template: %v", err)
		}
	}
}

// testTemplatesParallel: concurrent additions get consecutive versions, and one is active.
func testTemplatesParallel(t *testing.T, db *store.DB) {
	addAccount(t, db, "demo0001", 0)
	const n = 20
	errs := make(chan error)
	for range n {
		go func() {
			tmpl, err := db.AddTemplate(t.Context(), newTemplate("${pin}"), nil, false)
			if err == nil {
				_, err = db.ApproveTemplate(t.Context(), tmpl.ID, t0)
			}
			errs <- err
		}()
	}
	for range n {
		must(t, <-errs)
	}
	all, err := db.Templates(t.Context(), "demo0001", "")
	must(t, err)
	active := 0
	for i, tmpl := range all {
		if tmpl.Version != i+1 {
			t.Errorf("the versions are %+v", all)
			break
		}
		if tmpl.Status == store.TemplateActive {
			active++
		}
	}
	if len(all) != n || active != 1 {
		t.Errorf("%d templates, %d in use; want %d and 1", len(all), active, n)
	}
}
