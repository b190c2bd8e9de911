package httpsms_test

import (
	"testing"

	"go.uber.org/goleak"
)

// TestMain detects goroutines that outlive their gateway.
func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }
