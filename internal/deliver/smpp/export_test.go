package smpp

import "countersign/internal/deliver/smpp/pdu"

// ReadReceipt is exported for the fuzz test, since a carrier would be too slow.
var ReadReceipt = readReceipt

// Ref returns the reference of an id in a response.
func (f IDForm) Ref(id string) string { return f.ref(id, false) }

// ClassOf returns the class of a status in a submit_sm_resp.
func (c *Carrier) ClassOf(s pdu.Status) Class {
	return c.classOf(pdu.PDU{Status: s, Body: &pdu.SubmitSMResp{}})
}
