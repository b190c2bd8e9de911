package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"text/tabwriter"
	"time"

	"countersign/internal/store"
)

type keysCmd struct {
	Status keysStatusCmd `cmd:"" help:"List the key files that open the database, and its data keys: ids and ages, never a key."`
	Rotate keysRotateCmd `cmd:"" help:"Make fresh data keys, or replace the key file, while servers run."`
}

type keysStatusCmd struct{ configFlag }

// Run lists the keys.
func (c *keysStatusCmd) Run(p *process) error {
	db, err := c.open(p)
	if err != nil {
		return err
	}
	keys, err := db.Keys(p.ctx)
	if err := errors.Join(err, db.Close()); err != nil {
		return err
	}
	since := func(t time.Time) string {
		if t.IsZero() {
			return "-"
		}
		return t.Format(time.RFC3339)
	}
	w := tabwriter.NewWriter(p.stdout, 0, 0, 2, ' ', 0)
	_, _ = fmt.Fprintln(w, "KEY FILE\tSINCE\tSERVER HAD IT\tHERE")
	for _, f := range keys.Files {
		here := ""
		if f.Ours {
			here = "key_file"
		}
		_, _ = fmt.Fprintf(w, "%s\t%s\t%s\t%s\n", f.Fingerprint, since(f.CreatedAt), since(f.UsedAt), here)
	}
	_, _ = fmt.Fprintln(w, "\t\t\t\nDATA KEY\tSINCE\tAGE\tFOR")
	for _, k := range keys.Data {
		use := k.Purpose
		if k.Current {
			use += ", in use"
		}
		_, _ = fmt.Fprintf(w, "%d\t%s\t%s\t%s\n", k.ID, since(k.CreatedAt), p.now().Sub(k.CreatedAt).Round(time.Minute), use)
	}
	return w.Flush()
}

type keysRotateCmd struct {
	configFlag
	NewKeyFile string `help:"Lets the database be opened with this key file, too, in order to replace the present one. It is made if it is not there." type:"path" placeholder:"FILE" xor:"what"`
	Finish     bool   `help:"Takes the old key file away, once all servers have the new one." xor:"what"`
	Abort      bool   `help:"Takes the new key file away again." xor:"what"`
	Force      bool   `help:"Finishes, or aborts, even if a server may still have the key file that goes."`
}

// Run makes fresh data keys, or carries out one of the steps of replacing the key file.
func (c *keysRotateCmd) Run(p *process) error {
	if c.Force && !c.Finish && !c.Abort {
		return errors.New("--force goes with --finish or --abort")
	}
	switch {
	case c.Finish:
		return c.end(p, (*store.DB).FinishKeyFile)
	case c.Abort:
		return c.end(p, (*store.DB).AbortKeyFile)
	case c.NewKeyFile != "":
		return c.begin(p)
	}
	if err := c.change(p, func(db *store.DB) error { return db.NewDataKeys(p.ctx, p.now()) }); err != nil {
		return err
	}
	p.printf("There are fresh data keys. Every server uses them within a minute.\n")
	return nil
}

// begin adds the new key file. One that it made goes again where that is refused.
func (c *keysRotateCmd) begin(p *process) error {
	var next store.Key
	made := false
	err := c.change(p, func(db *store.DB) (err error) {
		if next, err = store.LoadKey(c.NewKeyFile); errors.Is(err, fs.ErrNotExist) {
			next, made = store.NewKey(), true
			err = next.Save(c.NewKeyFile)
		}
		if err != nil {
			return err
		}
		return db.AddKeyFile(p.ctx, next, p.now())
	})
	if errors.Is(err, store.ErrRotating) && made {
		err = errors.Join(err, os.Remove(c.NewKeyFile))
	}
	if err != nil {
		return err
	}
	p.printf(`Both key files open the database now. The new one is %s (%s).
1. Keep a copy of it apart from the database and its backups.
2. Put it in the place of key_file on every server. They take it up within a minute, without a restart.
3. countersign keys rotate --finish
`, c.NewKeyFile, next.Fingerprint())
	return nil
}

func (c *keysRotateCmd) end(p *process, remove func(db *store.DB, ctx context.Context, now time.Time, force bool) error) error {
	if err := c.change(p, func(db *store.DB) error { return remove(db, p.ctx, p.now(), c.Force) }); err != nil {
		return err
	}
	p.printf("One key file opens the database: key_file. Keep the other only for as long as the backups of its time.\n")
	return nil
}
