package main

import (
	"bytes"
	"fmt"
	"net/http"
	"time"

	"countersign/internal/adminapi"
	"countersign/internal/deliver/tts/audio"
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

type templateListCmd struct {
	adminFlag
	outputFlags
	Account string `help:"Only of this account." placeholder:"KEY"`
	Status  string `help:"Only PENDING, ACTIVE or RETIRED ones." enum:",PENDING,ACTIVE,RETIRED" default:"" placeholder:"STATUS"`
}

// Run lists the templates.
func (c *templateListCmd) Run(p *process) error {
	query := given(map[string]string{"account": c.Account, "status": c.Status})
	var found adminapi.Templates
	if err := c.ask(p, adminapi.Request{Method: http.MethodGet, Path: "/templates", Query: query}, &found); err != nil {
		return err
	}
	return list[adminapi.Template]{
		document: found, rows: found.Templates,
		header: []string{"ID", "ACCOUNT", "CHANNEL", "LOCALE", "VERSION", "STATUS", "SINCE", "CONTACT", "TEXT"},
		row: func(t adminapi.Template) []any {
			text := fmt.Sprintf("%q", t.Text)
			if t.Text == "" {
				text = "recordings"
			}
			return []any{t.ID, t.Account, t.Channel, t.Locale, t.Version, t.Status, isoTime(t.CreatedAt), t.Contact, text}
		},
		id: func(t adminapi.Template) string { return t.ID },
	}.print(p, c.outputFlags)
}

type templatePreviewCmd struct {
	adminFlag
	outputFlags
	templateID
	Brand string `help:"Brand to show it with. Default: ${default}." default:"Acme"`
	PIN   string `help:"PIN to show it with. Default: ${default}." name:"pin" default:"123456"`
	Out   string `help:"Where to write the sound of a call. Default: ${default}." type:"path" default:"template.wav" placeholder:"FILE"`
}

// Run shows the template.
func (c *templatePreviewCmd) Run(p *process) error {
	r := adminapi.Request{
		Method: http.MethodGet, Path: adminapi.Path("templates", c.ID, "preview"),
		Query: given(map[string]string{"brand": c.Brand, "pin": c.PIN}),
	}
	var shown adminapi.TemplatePreview
	if err := c.ask(p, r, &shown); err != nil {
		return err
	}
	if !shown.Channel.Spoken() {
		return record[adminapi.TemplatePreview]{
			document: shown, text: fmt.Sprintf("%s\nencoding: %s\nsegments: %d\n", shown.Text, shown.Encoding, shown.Segments),
		}.print(p, c.outputFlags)
	}
	r.Path = adminapi.Path("templates", c.ID, "sound")
	var wav bytes.Buffer
	if err := c.ask(p, r, &wav); err != nil {
		return err
	}
	sound, err := audio.ParseWAV(wav.Bytes())
	if err != nil {
		return fmt.Errorf("read the sound: %w", err)
	}
	if err := p.writeOut(c.Out, sound.WAV()); err != nil {
		return fmt.Errorf("--out: %w", err)
	}
	return record[adminapi.TemplatePreview]{
		document: shown, text: fmt.Sprintf("%s\nsound: %s, %s\n", shown.Text, c.Out, sound.Duration().Round(100*time.Millisecond)),
	}.print(p, c.outputFlags)
}

// templateChange is what the commands have in common that decide on a template.
type templateChange struct {
	adminFlag
	outputFlags
	templateID
}

// decide has it carried out, and says how the template is then.
func (c templateChange) decide(p *process, what string) error {
	var t adminapi.Template
	if err := c.post(p, nil, &t, "templates", c.ID, what); err != nil {
		return err
	}
	return record[adminapi.Template]{
		document: t, ids: []string{t.ID},
		text: fmt.Sprintf("%s %s %s version %d is %s\n", t.Account, t.Channel, t.Locale, t.Version, t.Status),
	}.print(p, c.outputFlags)
}

type templateApproveCmd struct{ templateChange }

// Run puts the template into use.
func (c *templateApproveCmd) Run(p *process) error { return c.decide(p, "approve") }

type templateRetireCmd struct{ templateChange }

// Run takes the template out of use.
func (c *templateRetireCmd) Run(p *process) error { return c.decide(p, "retire") }

type templateRollbackCmd struct{ templateChange }

// Run puts the earlier template into use.
func (c *templateRollbackCmd) Run(p *process) error { return c.decide(p, "rollback") }
