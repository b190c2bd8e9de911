package config_test

import (
	"regexp"
	"slices"
	"strings"
	"testing"

	"countersign/internal/config"
	"countersign/internal/deliver/smpp"
)

// TestSMPPWords: the accepted words of an SMPP carrier are the constants of package smpp,
// which does not check them again.
func TestSMPPWords(t *testing.T) {
	t.Parallel()
	for key, tt := range map[string]struct {
		set   func(s *config.SMPP, word string)
		words []string
	}{
		"mode": {
			func(s *config.SMPP, word string) { s.Mode = word },
			words(smpp.Transceiver, smpp.Split, smpp.Transmitter),
		},
		"concat": {
			func(s *config.SMPP, word string) { s.Concat = word },
			words(smpp.ConcatUDH, smpp.ConcatSAR, smpp.ConcatPayload),
		},
		"validity": {
			func(s *config.SMPP, word string) { s.Validity = word },
			words(smpp.ValidityRelative, smpp.ValidityAbsolute, smpp.ValidityNone),
		},
		"message_id": {
			func(s *config.SMPP, word string) { s.MessageID = word },
			words(smpp.IDSame, smpp.IDToDecimal, smpp.IDToHex),
		},
		"message_id_scope": {
			func(s *config.SMPP, word string) { s.MessageIDScope = word },
			words(smpp.ScopeAddress, smpp.ScopeCarrier),
		},
		"statuses.0x0B": {
			func(s *config.SMPP, word string) { s.Statuses = map[string]string{"0x0B": word} },
			words(smpp.ClassTemporary, smpp.ClassThrottled, smpp.ClassFinal, smpp.ClassNumber, smpp.ClassBind),
		},
		"tlvs[0].type": {
			func(s *config.SMPP, word string) { s.TLVs = []config.TLV{{Tag: "0x1400", Type: word}} },
			words(smpp.TLVCString, smpp.TLVText, smpp.TLVHex, smpp.TLVUint8, smpp.TLVUint16, smpp.TLVUint32),
		},
	} {
		t.Run(key, func(t *testing.T) {
			t.Parallel()
			validate := func(word string) error {
				c := config.Default()
				smppCarrier(func(s *config.SMPP) { tt.set(s, word) })(&c)
				return c.Validate()
			}
			for _, word := range tt.words {
				if err := validate(word); err != nil {
					t.Errorf("%q: %v", word, err)
				}
			}
			err := validate("bogus")
			if err == nil {
				t.Fatal("accepted bogus")
			}
			refused := regexp.MustCompile(regexp.QuoteMeta(key) + `: must be (.+), not "bogus"$`).FindStringSubmatch(err.Error())
			if refused == nil {
				t.Fatalf("unexpected problem: %v", err)
			}
			if got := strings.Split(strings.ReplaceAll(refused[1], " or ", ", "), ", "); !slices.Equal(got, tt.words) {
				t.Errorf("config accepts %q, package smpp has %q", got, tt.words)
			}
		})
	}
}

func words[W ~string](list ...W) []string {
	texts := make([]string, len(list))
	for i, w := range list {
		texts[i] = string(w)
	}
	return texts
}
