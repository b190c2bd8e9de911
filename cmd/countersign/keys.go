package main

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"strconv"
	"time"

	"countersign/internal/adminapi"
	"countersign/internal/store"
	"countersign/internal/vault"
)

type keysCmd struct {
	Status keysStatusCmd `cmd:"" help:"List the key files and data keys of the database: ids and ages, never keys."`
	Rotate keysRotateCmd `cmd:"" help:"Create new data keys, or replace the key file, while servers run."`
}

type keysStatusCmd struct {
	adminFlag
	outputFlags
}

// keyRow is a key file or a data key in CSV.
type keyRow struct {
	Kind      string `json:"kind"` // key_file or data_key
	ID        string `json:"id"`   // fingerprint for a key file
	Purpose   string `json:"purpose"`
	CreatedAt string `json:"created_at"`
	UsedAt    string `json:"used_at"` // see [adminapi.KeyFile]
	Current   bool   `json:"current"` // the server's key file, or the active data key
}

// Run lists the keys.
func (c *keysStatusCmd) Run(p *process) error {
	var keys adminapi.Keys
	if err := c.get(p, &keys, "keys"); err != nil {
		return err
	}
	if c.Output == "table" && !p.quiet {
		if err := c.files(p, keys.Files); err != nil {
			return err
		}
		return c.dataKeys(p, keys.Data)
	}
	var rows []keyRow
	for _, f := range keys.Files {
		rows = append(rows, keyRow{Kind: "key_file", ID: f.Fingerprint, CreatedAt: f.CreatedAt, UsedAt: f.UsedAt, Current: f.Ours})
	}
	for _, k := range keys.Data {
		id := strconv.FormatInt(k.ID, 10)
		rows = append(rows, keyRow{Kind: "data_key", ID: id, Purpose: k.Purpose, CreatedAt: k.CreatedAt, Current: k.Current})
	}
	return list[keyRow]{document: keys, rows: rows, id: func(r keyRow) string { return r.ID }}.print(p, c.outputFlags)
}

func (c *keysStatusCmd) files(p *process, files []adminapi.KeyFile) error {
	return list[adminapi.KeyFile]{
		rows:   files,
		header: []string{"KEY FILE", "SINCE", "SERVER HAD IT", "HERE"},
		row: func(f adminapi.KeyFile) []any {
			here := ""
			if f.Ours {
				here = "key_file"
			}
			return []any{f.Fingerprint, isoTime(f.CreatedAt), isoTime(f.UsedAt), here}
		},
		foot: "\n",
	}.print(p, c.outputFlags)
}

func (c *keysStatusCmd) dataKeys(p *process, keys []adminapi.DataKey) error {
	return list[adminapi.DataKey]{
		rows:   keys,
		header: []string{"DATA KEY", "SINCE", "AGE", "FOR"},
		row: func(k adminapi.DataKey) []any {
			use, age := k.Purpose, "-"
			if k.Current {
				use += ", in use"
			}
			if made, err := time.Parse(time.RFC3339Nano, k.CreatedAt); err == nil {
				age = p.now().Sub(made).Round(time.Minute).String()
			}
			return []any{k.ID, isoTime(k.CreatedAt), age, use}
		},
	}.print(p, c.outputFlags)
}

type keysRotateCmd struct {
	adminFlag
	confirmFlag
	NewKeyFile string `help:"Start a key-file rotation: also accept FILE, created if missing." type:"path" placeholder:"FILE" xor:"what"`
	Finish     bool   `help:"Complete the rotation and remove the old key file, once all servers have the new one." xor:"what"`
	Abort      bool   `help:"Abort the rotation and remove the new key file." xor:"what"`
	Force      bool   `help:"With --finish or --abort: proceed even if a server may still use the removed key file."`
}

// Run creates new data keys, or carries out a step of a key-file rotation. A rotation
// reads key files, so it works on the database directly, even while a server runs.
func (c *keysRotateCmd) Run(p *process) error {
	if c.Force && !c.Finish && !c.Abort {
		return usagef("--force requires --finish or --abort")
	}
	switch {
	case c.Finish:
		return c.end(p, "keys.finish-file", (*vault.Vault).FinishKeyFile)
	case c.Abort:
		return c.end(p, "keys.abort-file", (*vault.Vault).AbortKeyFile)
	case c.NewKeyFile != "":
		return c.begin(p)
	}
	if err := c.post(p, nil, nil, "keys", "rotate"); err != nil {
		return err
	}
	p.printf("New data keys are active. Every server uses them within a minute.\n")
	return nil
}

// begin adds the new key file. It removes a file that it created if another rotation is running.
func (c *keysRotateCmd) begin(p *process) error {
	var next vault.Key
	made := false
	err := c.changeAs(p, "keys.add-file", func(ctx context.Context, db *store.DB) (err error) {
		if next, err = vault.LoadKey(c.NewKeyFile); errors.Is(err, fs.ErrNotExist) {
			next, made = vault.NewKey(), true
			err = next.Save(c.NewKeyFile)
		}
		if err != nil {
			return err
		}
		return db.Vault().AddKeyFile(ctx, next, p.now())
	})
	if errors.Is(err, vault.ErrRotating) && made {
		err = errors.Join(err, os.Remove(c.NewKeyFile))
	}
	if err != nil {
		return err
	}
	p.printf(`The database now accepts both key files. The new one is %s (%s).
1. Keep a copy apart from the database and its backups.
2. Replace key_file with it on every server. Servers load it within a minute, without a restart.
3. countersign keys rotate --finish
`, c.NewKeyFile, next.Fingerprint())
	return nil
}

func (c *keysRotateCmd) end(p *process, action string, remove func(v *vault.Vault, ctx context.Context, now time.Time, force bool) error) error {
	if err := c.confirm(p, "One of the two key files will no longer open the database."); err != nil {
		return err
	}
	err := c.changeAs(p, action, func(ctx context.Context, db *store.DB) error { return remove(db.Vault(), ctx, p.now(), c.Force) })
	if err != nil {
		return err
	}
	p.printf("The database accepts one key file: key_file. Keep the other only as long as the backups from its time.\n")
	return nil
}
