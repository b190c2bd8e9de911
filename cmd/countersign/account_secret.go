package main

import (
	"fmt"
	"net/http"
	"text/tabwriter"
	"time"

	"countersign/internal/adminapi"
)

type accountRotateCmd struct {
	adminFlag
	Key  string        `arg:"" help:"The api_key."`
	Keep time.Duration `help:"For how long the old ones go on being good, such as 24h. Without it: not at all." placeholder:"DURATION" param:"keep_seconds"`
}

// Run replaces the secrets.
func (c *accountRotateCmd) Run(p *process) error {
	var secret adminapi.NewSecret
	err := c.post(p, adminapi.Rotation{Keep: wholeSeconds(c.Keep)}, &secret, "accounts", c.Key, "rotate-secret")
	if err != nil {
		return err
	}
	p.printf("api_secret: %s\n", secret.Secret)
	return nil
}

// wholeSeconds rounds up: what is to be good for a moment must not be good for ever.
func wholeSeconds(d time.Duration) int {
	if d > 0 {
		d += time.Second - 1
	}
	return int(d / time.Second)
}

type accountSignatureCmd struct {
	adminFlag
	Key    string        `arg:"" help:"The api_key."`
	Method string        `help:"md5hash, md5, sha1, sha256 or sha512; the one that it has if empty." placeholder:"METHOD"`
	Keep   time.Duration `help:"For how long the old one goes on being good, such as 24h. Without it: not at all." placeholder:"DURATION" param:"keep_seconds"`
}

// Run replaces the signature secret.
func (c *accountSignatureCmd) Run(p *process) error {
	var s adminapi.NewSignature
	in := adminapi.SignatureRotation{Method: c.Method, Rotation: adminapi.Rotation{Keep: wholeSeconds(c.Keep)}}
	if err := c.post(p, in, &s, "accounts", c.Key, "rotate-signature"); err != nil {
		return err
	}
	p.printf("signature_method: %s\nsignature_secret: %s\n", s.Method, s.Secret)
	return nil
}

type accountSecretCmd struct {
	List   accountSecretListCmd   `cmd:"" help:"List the secrets that are good by their ids, without the secrets."`
	Add    accountSecretAddCmd    `cmd:"" help:"Give an account one more secret and print it, once."`
	Revoke accountSecretRevokeCmd `cmd:"" help:"End a secret at once."`
}

type accountSecretListCmd struct {
	adminFlag
	Key string `arg:"" help:"The api_key."`
}

// Run lists the secrets.
func (c *accountSecretListCmd) Run(p *process) error {
	var list adminapi.Secrets
	if err := c.get(p, &list, "accounts", c.Key, "secrets"); err != nil {
		return err
	}
	w := tabwriter.NewWriter(p.stdout, 0, 0, 2, ' ', 0)
	_, _ = fmt.Fprintln(w, "ID\tCREATED\tEXPIRES")
	for _, s := range list.Secrets {
		expires := "never"
		if s.ExpiresAt != "" {
			expires = isoTime(s.ExpiresAt)
		}
		_, _ = fmt.Fprintf(w, "%s\t%s\t%s\n", s.ID, isoTime(s.CreatedAt), expires)
	}
	return w.Flush()
}

type accountSecretAddCmd struct {
	adminFlag
	Key       string         `arg:"" help:"The api_key."`
	Secret    string         `help:"The secret, at least 8 characters; drawn if empty. Others can see it on the command line."`
	ExpiresIn *time.Duration `help:"For how long it is good, such as 24h. Without it: for ever." placeholder:"DURATION" param:"expires_in_seconds"`
}

// Run adds the secret.
func (c *accountSecretAddCmd) Run(p *process) error {
	var added adminapi.AddedSecret
	in := adminapi.AddSecret{Secret: c.Secret}
	if c.ExpiresIn != nil {
		seconds := wholeSeconds(*c.ExpiresIn)
		in.ExpiresIn = &seconds
	}
	if err := c.post(p, in, &added, "accounts", c.Key, "secrets"); err != nil {
		return err
	}
	p.printf("id: %s\napi_secret: %s\n", added.ID, added.Value)
	return nil
}

type accountSecretRevokeCmd struct {
	adminFlag
	Key string `arg:"" help:"The api_key."`
	ID  string `arg:"" name:"id" help:"The secret's id, as secret list shows it."`
}

// Run ends the secret.
func (c *accountSecretRevokeCmd) Run(p *process) error {
	return c.ask(p, adminapi.Request{Method: http.MethodDelete, Path: adminapi.Path("accounts", c.Key, "secrets", c.ID)}, nil)
}
