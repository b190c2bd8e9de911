package smpp

import "countersign/internal/deliver/smpp/pdu"

// ReadReceipt is for the fuzz test, to which a carrier would be too slow.
var ReadReceipt = readReceipt

// Ref is how the id of a response is kept.
func (f IDForm) Ref(id string) string { return f.ref(id, false) }

// ClassOf returns the class of a status in a submit_sm_resp.
func (c *Carrier) ClassOf(s pdu.Status) Class {
	return c.classOf(pdu.PDU{Status: s, Body: &pdu.SubmitSMResp{}})
}
