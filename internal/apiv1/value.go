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

// need returns KindMissingParameter for the first absent parameter of names.
func (c *exchange) need(names ...string) error {
	for _, name := range names {
		if c.params.get(name) == "" {
			return verify.Missing(name)
		}
	}
	return nil
}

// integer returns a whole number from lowest to highest; fallback if it is absent.
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

// isShown reports whether r is visible: letters, marks, digits, punctuation, symbols and
// spaces of any script. Control, bidirectional and zero-width characters, fillers and the
// Braille blank are not. Package message decides on the characters of messages.
func isShown(r rune) bool {
	const brailleBlank = '\u2800'
	return unicode.IsGraphic(r) && r != utf8.RuneError && r != brailleBlank &&
		!unicode.Is(unicode.Other_Default_Ignorable_Code_Point, r)
}

// request returns the request_id. A malformed id is not an error: it is unknown, like an
// id that was never issued (the zero ID).
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
