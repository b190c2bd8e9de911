// Package media is the sound of one call: what each side says of it in SDP, and RTP
// in both directions.
//
//	sdp.go      descriptions, offered and answered
//	parse.go    descriptions of the other side, and the host names in them
//	session.go  a Session: its sockets, and what was agreed
//	send.go     packets of 20 ms at their time, digits
//	receive.go  what comes in: digits, loss, jitter, whether somebody speaks
//	rtcp.go     reports to and from the other side
//
// What is sent never waits for what comes in, and the other side decides about
// nothing but where to send: it cannot make a session use more than its sockets,
// two small buffers and three goroutines.
//
// The package must not know SIP, carriers, or what is said.
package media
