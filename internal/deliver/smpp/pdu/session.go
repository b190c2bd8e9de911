package pdu

// PDUs that open, maintain and close a session (§4.1, §4.2, §4.3, §4.11), and
// alert_notification (§4.12).

// Version34 is the interface_version of SMPP 3.4 (§5.2.4).
const Version34 = 0x34

// Bind requests a session (§4.1).
type Bind struct {
	// Kind is CommandBindTransmitter, CommandBindReceiver or CommandBindTransceiver.
	Kind             Command
	SystemID         string // at most 15 characters
	Password         string // at most 16, see write
	SystemType       string // at most 12
	InterfaceVersion uint8  // Version34
	AddrTON, AddrNPI uint8
	AddressRange     string // at most 40
}

// Command implements [Body].
func (m *Bind) Command() Command { return m.Kind }

func (m *Bind) write(w writer) writer {
	w.kind(m.Kind)
	w.text("system_id", m.SystemID, 16)
	// The specification allows 8 characters (§5.2.2), but carriers issue and accept
	// longer passwords.
	w.text("password", m.Password, 17)
	w.text("system_type", m.SystemType, 13)
	w.u8(m.InterfaceVersion)
	w.u8(m.AddrTON)
	w.u8(m.AddrNPI)
	w.text("address_range", m.AddressRange, 41)
	return w
}

func (m *Bind) read(r *reader) {
	m.SystemID = r.text("system_id")
	m.Password = r.text("password")
	m.SystemType = r.text("system_type")
	m.InterfaceVersion = r.u8("interface_version")
	m.AddrTON = r.u8("addr_ton")
	m.AddrNPI = r.u8("addr_npi")
	m.AddressRange = r.text("address_range")
}

// kind fails unless kind is a bind command.
func (w *writer) kind(kind Command) {
	switch kind {
	case CommandBindTransmitter, CommandBindReceiver, CommandBindTransceiver:
	default:
		w.fail("kind is %s, not a bind", kind)
	}
}

// BindResp answers [Bind] (§4.1.2).
type BindResp struct {
	Kind     Command // command of the request
	SystemID string  // identifies the SMSC, at most 15 characters
	TLVs     TLVs
}

// Command implements [Body].
func (m *BindResp) Command() Command { return m.Kind.Response() }

func (m *BindResp) write(w writer) writer {
	w.kind(m.Kind)
	w.text("system_id", m.SystemID, 16)
	w.tlvs(m.TLVs)
	return w
}

func (m *BindResp) read(r *reader) {
	m.SystemID = r.text("system_id")
	m.TLVs = r.tlvs()
}

// Outbind requests a bind from an ESME to which the SMSC has connected (§4.1.7).
type Outbind struct {
	SystemID string // identifies the SMSC, at most 15 characters
	Password string // at most 16
}

// Command implements [Body].
func (*Outbind) Command() Command { return CommandOutbind }

func (m *Outbind) write(w writer) writer {
	w.text("system_id", m.SystemID, 16)
	w.text("password", m.Password, 17)
	return w
}

func (m *Outbind) read(r *reader) {
	m.SystemID = r.text("system_id")
	m.Password = r.text("password")
}

// empty is a body without fields.
type empty struct{}

func (empty) write(w writer) writer { return w }
func (empty) read(*reader)          {}

// Unbind ends a session (§4.2.1).
type Unbind struct{ empty }

// Command implements [Body].
func (*Unbind) Command() Command { return CommandUnbind }

// UnbindResp answers [Unbind] (§4.2.2).
type UnbindResp struct{ empty }

// Command implements [Body].
func (*UnbindResp) Command() Command { return CommandUnbind.Response() }

// GenericNack answers a PDU that cannot be decoded (§4.3).
type GenericNack struct{ empty }

// Command implements [Body].
func (*GenericNack) Command() Command { return CommandGenericNack }

// EnquireLink is a keep-alive (§4.11.1).
type EnquireLink struct{ empty }

// Command implements [Body].
func (*EnquireLink) Command() Command { return CommandEnquireLink }

// EnquireLinkResp answers [EnquireLink] (§4.11.2).
type EnquireLinkResp struct{ empty }

// Command implements [Body].
func (*EnquireLinkResp) Command() Command { return CommandEnquireLink.Response() }

// AlertNotification reports that a phone is reachable again (§4.12).
type AlertNotification struct {
	Source Address // phone, at most 64 characters
	ESME   Address // at most 64
	TLVs   TLVs    // ms_availability_status
}

// Command implements [Body].
func (*AlertNotification) Command() Command { return CommandAlertNotification }

func (m *AlertNotification) write(w writer) writer {
	m.Source.write(&w, "source_addr", 65)
	m.ESME.write(&w, "esme_addr", 65)
	w.tlvs(m.TLVs)
	return w
}

func (m *AlertNotification) read(r *reader) {
	m.Source.read(r, "source_addr")
	m.ESME.read(r, "esme_addr")
	m.TLVs = r.tlvs()
}
