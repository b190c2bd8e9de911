package smpp_test

import (
	"maps"
	"slices"
	"testing"
	"testing/synctest"

	"countersign/internal/deliver/smpp/pdu"
)

// series returns the values of a counter by its label, which has the name label.
func (d *desk) series(name, label string) map[string]float64 {
	d.t.Helper()
	families, err := d.reg.Gather()
	if err != nil {
		d.t.Fatal(err)
	}
	all := map[string]float64{}
	for _, f := range families {
		if f.GetName() != name {
			continue
		}
		for _, m := range f.GetMetric() {
			for _, l := range m.GetLabel() {
				if l.GetName() == label {
					all[l.GetValue()] = m.GetCounter().GetValue()
				}
			}
		}
	}
	return all
}

// TestSeriesFromTheStart: series exist before their first event, so that rates include
// it.
func TestSeriesFromTheStart(t *testing.T) {
	t.Parallel()
	in(t, func(t *testing.T) {
		d, _, _ := openPeer(t)
		for _, tt := range []struct {
			name, label string
			want        []string
		}{
			{"countersign_smpp_submissions_total", "status", []string{"ESME_ROK", "lost", "malformed", "not_written", "timeout"}},
			{"countersign_smpp_pdus_received_total", "kind", []string{"message", "receipt", "receipt in message", "turned away", "unreadable"}},
		} {
			got := d.series(tt.name, tt.label)
			if labels := slices.Sorted(maps.Keys(got)); !slices.Equal(labels, tt.want) {
				t.Errorf("%s has %q, want %q", tt.name, labels, tt.want)
			}
			for label, n := range got {
				if n != 0 {
					t.Errorf("%s of %q is %v, want 0", tt.name, label, n)
				}
			}
		}
	})
}

// TestSubmissionsByStatus: each submission counts once, by the status of its response or
// the reason for a missing one. Only responses have a duration.
func TestSubmissionsByStatus(t *testing.T) {
	t.Parallel()
	response := func(status pdu.Status) func(*peer, pdu.PDU) {
		return func(p *peer, submit pdu.PDU) {
			p.send(pdu.PDU{Status: status, Sequence: submit.Sequence, Body: &pdu.SubmitSMResp{}})
		}
	}
	for label, tt := range map[string]struct {
		answer func(*peer, pdu.PDU)
		timed  uint64
	}{
		"ESME_ROK":         {response(pdu.StatusOK), 1},
		"ESME_RSUBMITFAIL": {response(pdu.StatusSubmitFailed), 1},
		"other":            {response(0x4FF), 1},
		"timeout":          {func(*peer, pdu.PDU) {}, 0},
		"lost":             {func(p *peer, _ pdu.PDU) { _ = p.conn.Close() }, 0},
		"malformed": {func(p *peer, submit pdu.PDU) {
			p.send(pdu.PDU{Sequence: submit.Sequence, Body: &pdu.DataSMResp{}})
		}, 0},
	} {
		t.Run(label, func(t *testing.T) {
			t.Parallel()
			in(t, func(t *testing.T) {
				d, _, p := openPeer(t)
				s := d.begin("hello")
				tt.answer(p, p.next())
				err := s.wait()
				synctest.Wait()
				for got, n := range d.series("countersign_smpp_submissions_total", "status") {
					if (n == 1) != (got == label) || n > 1 {
						t.Errorf("%v under %q, want one under %q; the error is %v", n, got, label, err)
					}
				}
				if n := d.timed(); n != tt.timed {
					t.Errorf("%d durations, want %d", n, tt.timed)
				}
			})
		})
	}
}

// timed returns the number of durations of responses.
func (d *desk) timed() uint64 {
	d.t.Helper()
	families, err := d.reg.Gather()
	if err != nil {
		d.t.Fatal(err)
	}
	for _, f := range families {
		if f.GetName() == "countersign_smpp_response_duration_seconds" {
			return f.GetMetric()[0].GetHistogram().GetSampleCount()
		}
	}
	return 0
}
