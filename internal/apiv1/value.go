package apiv1

import (
	"fmt"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"

	"countersign/internal/message"
	"countersign/internal/verify"
)

// need returns KindMissingParameter for the first of names that was not given.
func (c *exchange) need(names ...string) error {
	for _, name := range names {
		if c.params.get(name) == "" {
			return verify.Missing(name)
		}
	}
	return nil
}

// integer reads a whole number within bounds; fallback when it was not given.
func (c *exchange) integer(name string, fallback, lowest, highest int) (int, error) {
	text := c.params.get(name)
	if text == "" {
		return fallback, nil
	}
	n, err := strconv.Atoi(text)
	if err != nil || !isDigits(text) || n < lowest || n > highest {
		return 0, verify.Invalid(name, fmt.Sprintf("must be a whole number from %d to %d", lowest, highest))
	}
	return n, nil
}

// isShown reports whether r can be seen: letters, marks, digits, punctuation,
// symbols and spaces of any script. Control, bidirectional and zero-width
// characters are not, nor the fillers and the blank that only look like nothing.
// What may stand in a message is for package message to say.
func isShown(r rune) bool {
	const brailleBlank = '\u2800'
	return unicode.IsGraphic(r) && r != utf8.RuneError && r != brailleBlank &&
		!unicode.Is(unicode.Other_Default_Ignorable_Code_Point, r)
}

// request reads a request_id. One that no request can have is not an error here:
// it is unknown, like one that was never given out (the zero ID).
func (c *exchange) request() (verify.ID, error) {
	text := c.params.get("request_id")
	id, err := parseRequestID("request_id", text)
	if err == nil {
		c.requestID = text
	}
	return id, err
}

func parseRequestID(param, text string) (verify.ID, error) {
	const maxLength = 32
	if len(text) > maxLength {
		return verify.ID{}, verify.Invalid(param, fmt.Sprintf("more than %d characters", maxLength))
	}
	if !printable(text) {
		return verify.ID{}, verify.Invalid(param, message.ErrInvisible.Error())
	}
	id, _ := verify.ParseID(text)
	return id, nil
}

func isDigits(s string) bool {
	return s != "" && strings.IndexFunc(s, func(r rune) bool { return r < '0' || r > '9' }) < 0
}
