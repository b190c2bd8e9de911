// Package media implements the audio of one call: SDP, and RTP in both directions.
//
//	sdp.go      descriptions, offered and answered
//	parse.go    descriptions of the other side, and host names in them
//	session.go  Session: sockets and the negotiated state
//	latch.go    sources of RTP that may move the audio
//	send.go     packets every 20 ms, digits
//	receive.go  received packets: digits, loss, jitter, speech
//	rtcp.go     reports to and from the other side
//
// Sending never waits for received packets. The other side only selects the codec, the
// direction and the destination of the audio. It cannot make a session use more than
// its two sockets, four goroutines and small buffers.
//
// The package must not depend on SIP, carriers or the content of announcements.
package media
