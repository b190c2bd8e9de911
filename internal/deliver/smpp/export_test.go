package smpp

// ReadReceipt is for the fuzz test, to which a carrier would be too slow.
var ReadReceipt = readReceipt

// Ref is how the id of a response is kept.
func (f IDForm) Ref(id string) string { return f.ref(id, false) }
