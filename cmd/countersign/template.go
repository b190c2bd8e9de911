package main

import (
	"errors"
	"fmt"
	"os"
	"text/tabwriter"
	"time"

	"countersign/internal/deliver/tts"
	"countersign/internal/server"
	"countersign/internal/store"
	"countersign/internal/template"
	"countersign/internal/verify"
)

type templateCmd struct {
	List     templateListCmd     `cmd:"" help:"List the templates of accounts."`
	Preview  templatePreviewCmd  `cmd:"" help:"Show what a template would say: text and segments of an SMS, words and sound of a call."`
	Approve  templateApproveCmd  `cmd:"" help:"Put a template into use, in place of the one that was."`
	Retire   templateRetireCmd   `cmd:"" help:"Take a template out of use, or turn one down that waits."`
	Rollback templateRollbackCmd `cmd:"" help:"Put into use again what was before the template that is in use."`
}

// templateID names the template that a command is about.
type templateID struct {
	ID string `arg:"" help:"Id of the template, from template list."`
}

func (t templateID) parse() (verify.ID, error) {
	id, ok := verify.ParseID(t.ID)
	if !ok {
		return id, fmt.Errorf("%q is not the id of a template", t.ID)
	}
	return id, nil
}

type templateListCmd struct {
	configFlag
	Account string `help:"Only of this account." placeholder:"KEY"`
	Status  string `help:"Only PENDING, ACTIVE or RETIRED ones." enum:",PENDING,ACTIVE,RETIRED" default:"" placeholder:"STATUS"`
}

// Run lists the templates.
func (c *templateListCmd) Run(p *process) error {
	db, err := c.open(p)
	if err != nil {
		return err
	}
	list, err := db.Templates(p.ctx, c.Account, store.TemplateStatus(c.Status))
	if err := errors.Join(err, db.Close()); err != nil {
		return err
	}
	w := tabwriter.NewWriter(p.stdout, 0, 0, 2, ' ', 0)
	_, _ = fmt.Fprintln(w, "ID\tACCOUNT\tCHANNEL\tLOCALE\tVERSION\tSTATUS\tSINCE\tCONTACT\tTEXT")
	for _, t := range list {
		text := fmt.Sprintf("%q", t.Text)
		if t.Text == "" {
			text = "recordings"
		}
		_, _ = fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%d\t%s\t%s\t%s\t%s\n", t.ID, t.Account, t.Channel, t.Locale, t.Version, t.Status,
			t.CreatedAt.Format(time.RFC3339), t.Contact, text)
	}
	return w.Flush()
}

type templatePreviewCmd struct {
	configFlag
	templateID
	Brand string `help:"Brand to show it with. Default: ${default}." default:"Acme"`
	PIN   string `help:"PIN to show it with. Default: ${default}." name:"pin" default:"123456"`
	Out   string `help:"Where to write the sound of a call. Default: ${default}." type:"path" default:"template.wav" placeholder:"FILE"`
}

// Run shows the template.
func (c *templatePreviewCmd) Run(p *process) error {
	id, err := c.parse()
	if err != nil {
		return err
	}
	db, err := c.open(p)
	if err != nil {
		return err
	}
	return errors.Join(c.show(p, db, id), db.Close())
}

func (c *templatePreviewCmd) show(p *process, db *store.DB, id verify.ID) error {
	t, err := db.Template(p.ctx, id)
	if err != nil {
		return err
	}
	shown, err := template.Show(t, c.Brand, c.PIN)
	if err != nil {
		return err
	}
	p.printf("%s\n", shown.Text)
	if t.Channel == verify.SMS {
		p.printf("encoding: %s\nsegments: %d\n", shown.Encoding, shown.Segments)
		return nil
	}
	cfg, err := c.load(p)
	if err != nil {
		return err
	}
	speech := server.SpeechConfig(cfg.TTS, newLogger(p.stderr, "warn", "text"))
	speech.Recordings = server.Recordings(db)
	speaker, err := tts.New(speech)
	if err != nil {
		return err
	}
	sound, err := speaker.Speak(p.ctx, shown.Script)
	if err != nil {
		return err
	}
	if err := os.WriteFile(c.Out, sound.WAV(), 0o600); err != nil {
		return err
	}
	p.printf("sound: %s, %s\n", c.Out, sound.Duration().Round(100*time.Millisecond))
	return nil
}

// templateChange is what the commands have in common that decide on a template.
type templateChange struct {
	configFlag
	templateID
}

// decide carries out what an operator decides, and says how the template is then.
func (c templateChange) decide(p *process, do func(*store.DB, verify.ID) (store.Template, error)) error {
	id, err := c.parse()
	if err != nil {
		return err
	}
	return c.change(p, func(db *store.DB) error {
		t, err := do(db, id)
		if err == nil {
			p.printf("%s %s %s version %d is %s\n", t.Account, t.Channel, t.Locale, t.Version, t.Status)
		}
		return err
	})
}

type templateApproveCmd struct{ templateChange }

// Run puts the template into use.
func (c *templateApproveCmd) Run(p *process) error {
	return c.decide(p, func(db *store.DB, id verify.ID) (store.Template, error) {
		return db.ApproveTemplate(p.ctx, id, p.now())
	})
}

type templateRetireCmd struct{ templateChange }

// Run takes the template out of use.
func (c *templateRetireCmd) Run(p *process) error {
	return c.decide(p, func(db *store.DB, id verify.ID) (store.Template, error) {
		return db.RetireTemplate(p.ctx, id)
	})
}

type templateRollbackCmd struct{ templateChange }

// Run puts the earlier template into use.
func (c *templateRollbackCmd) Run(p *process) error {
	return c.decide(p, func(db *store.DB, id verify.ID) (store.Template, error) {
		return db.RollBackTemplate(p.ctx, id, p.now())
	})
}
