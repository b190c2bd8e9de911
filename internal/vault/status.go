package vault

import (
	"context"
	"encoding/hex"
	"fmt"
	"time"
)

// Status lists the keys of a database without their content, oldest first.
type Status struct {
	Files []KeyFile
	Data  []DataKey
}

// KeyFile is a key file that opens the database.
type KeyFile struct {
	Fingerprint string // see Key.Fingerprint
	CreatedAt   time.Time
	UsedAt      time.Time // last report of a server that has it; zero for never. Reported only while there are two files
	Ours        bool      // this process has it
}

// DataKey is a data key in the database.
type DataKey struct {
	ID        int64
	Purpose   Purpose
	CreatedAt time.Time
	Current   bool // this process seals with it
}

// Status reads the keys and returns them without their content.
func (v *Vault) Status() (s Status, err error) {
	ring, err := v.sealer.data.reread()
	if err != nil {
		return s, fmt.Errorf("list keys: %w", err)
	}
	ours := v.key().Fingerprint()
	for _, f := range ring.files {
		fingerprint := hex.EncodeToString(f.Fingerprint)
		s.Files = append(s.Files, KeyFile{fingerprint, f.CreatedAt, f.UsedAt, fingerprint == ours})
	}
	for _, d := range ring.sorted() {
		s.Data = append(s.Data, DataKey{d.id, d.purpose, d.createdAt, ring.newest[d.purpose] == d})
	}
	return s, nil
}

// Times reads the creation time of the newest key file ("file"). It also returns the creation
// time of the data key in use for each purpose ("account", "secret", "pin", "code").
func (v *Vault) Times(ctx context.Context) (map[string]time.Time, error) {
	rows, err := v.records.ReadKeys(ctx)
	if err != nil {
		return nil, fmt.Errorf("read the age of keys: %w", err)
	}
	var file time.Time
	for _, f := range rows.Files {
		if f.CreatedAt.After(file) {
			file = f.CreatedAt
		}
	}
	times := map[string]time.Time{"file": file}
	for of, k := range v.sealer.data.keys.Load().newest {
		times[string(of)] = k.createdAt
	}
	return times, nil
}
