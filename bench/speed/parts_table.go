package main

// parts returns the parts of the server, from the request to the database.
func parts() []part {
	const ours = "countersign/internal/"
	const lite = "modernc.org/sqlite/lib."
	return []part{
		{"net/http", nil, []string{"net/http.", "net/http/"}},
		{"middleware", nil, []string{ours + "web."}},
		{"log", nil, []string{"log/slog."}},
		{"parsing, credentials, answer", nil, []string{ours + "apiv1.", ours + "phone.", ours + "account.", ours + "signature."}},
		{"engine, texts", nil, []string{ours + "engine.", ours + "message.", ours + "template."}},
		{"rules of a verification", nil, []string{ours + "verify."}},
		{"caps and velocity rules", nil, []string{ours + "fraud.", ours + "velocity."}},
		{"documents", nil, []string{ours + "record."}},
		{"sealing, hashes", nil, []string{ours + "vault.", "crypto/"}},
		{"delivery", nil, []string{ours + "deliver"}},
		{"loops of due rows", nil, []string{ours + "task.", ours + "retention."}},
		{"store: batches, rows", nil, []string{ours + "store.", ours + "store/driver."}},
		{"SQLite: driver", nil, []string{ours + "store/sqlite.", "modernc.org/"}},
		{"SQLite: flush to disk", []string{lite + "_unixSync", lite + "_full_fsync", "modernc.org/libc.Xfsync", "modernc.org/libc.Xfdatasync"}, nil},
		{"SQLite: checkpoint", []string{lite + "_sqlite3WalCheckpoint", lite + "_walCheckpoint", lite + "_sqlite3Checkpoint"}, nil},
		{"SQLite: commit", []string{lite + "_sqlite3VdbeHalt", lite + "_vdbeCommit", lite + "_sqlite3BtreeCommit", lite + "_sqlite3PagerCommit"}, nil},
		{"SQLite: read pages of the file", []string{lite + "_readDbPage"}, nil},
		{"SQLite: statements", []string{lite}, nil},
		{"PostgreSQL: driver", nil, []string{ours + "store/postgres.", "github.com/jackc/"}},
		{"garbage collection", []string{
			"runtime.gcBgMarkWorker", "runtime.gcAssistAlloc", "runtime.bgsweep", "runtime.bgscavenge", "runtime.gcStart",
			"runtime.gcMarkDone", "runtime.gcMarkTermination", "runtime.deductSweepCredit",
		}, nil},
	}
}
