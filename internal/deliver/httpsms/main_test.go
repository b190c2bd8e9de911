package httpsms_test

import (
	"testing"

	"go.uber.org/goleak"
)

// TestMain sees that no goroutine outlives its gateway.
func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }
