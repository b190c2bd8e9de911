package main

import (
	"errors"
	"fmt"
	"log/slog"

	"countersign/internal/check"
	"countersign/internal/config"
)

// checkSecretFiles warns of each file with secrets that other users can read, with the
// command that fixes it. With strict it returns them as an error.
func checkSecretFiles(files []config.SecretFile, strict bool, log *slog.Logger) error {
	var errs []error
	for _, f := range check.ExposedFiles(files) {
		if strict {
			errs = append(errs, fmt.Errorf("%s: other users can read %s (mode %s); run: %s", f.Setting, f.Path, f.Mode, f.Remedy))
			continue
		}
		log.Warn("other users can read a secret file", "setting", f.Setting, "file", f.Path, "mode", f.Mode, "run", f.Remedy)
	}
	return errors.Join(errs...)
}
