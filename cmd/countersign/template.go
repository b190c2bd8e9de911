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
	Preview  templatePreviewCmd  `cmd:"" help:"Preview a template: text and segments of an SMS, or words and audio of a call."`
	Approve  templateApproveCmd  `cmd:"" help:"Activate a template, replacing the active one."`
	Retire   templateRetireCmd   `cmd:"" help:"Retire an active template or reject a pending one."`
	Rollback templateRollbackCmd `cmd:"" help:"Reactivate the previous template."`
}

// templateID selects the template of a command.
type templateID struct {
	ID string `arg:"" help:"Id of the template, from template list."`
}

type templateListCmd struct {
	adminFlag
	outputFlags
	Account string `help:"Only templates of this account." placeholder:"KEY"`
	Status  string `help:"Only templates with this status: PENDING, ACTIVE or RETIRED." enum:",PENDING,ACTIVE,RETIRED" default:"" placeholder:"STATUS"`
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
	Brand string `help:"Brand for the preview. Default: ${default}." default:"Acme"`
	PIN   string `help:"PIN for the preview. Default: ${default}." name:"pin" default:"123456"`
	Out   string `help:"WAV file for the audio of a call. Default: ${default}." type:"path" default:"template.wav" placeholder:"FILE"`
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

// templateChange is shared by the commands that change the status of a template.
type templateChange struct {
	adminFlag
	outputFlags
	templateID
}

// decide sends the decision and prints the new status of the template.
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

// Run activates the template.
func (c *templateApproveCmd) Run(p *process) error { return c.decide(p, "approve") }

type templateRetireCmd struct{ templateChange }

// Run retires the template.
func (c *templateRetireCmd) Run(p *process) error { return c.decide(p, "retire") }

type templateRollbackCmd struct{ templateChange }

// Run reactivates the previous template.
func (c *templateRollbackCmd) Run(p *process) error { return c.decide(p, "rollback") }
