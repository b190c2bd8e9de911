package main

import (
	"net/http"
	"time"

	"countersign/internal/adminapi"
)

type accountRotateCmd struct {
	adminFlag
	outputFlags
	confirmFlag
	Key  string        `arg:"" help:"The api_key."`
	Keep time.Duration `help:"For how long the old ones go on being good, such as 24h. Without it: not at all." placeholder:"DURATION" param:"keep_seconds"`
}

// Run replaces the secrets.
func (c *accountRotateCmd) Run(p *process) error {
	if c.Keep == 0 {
		if err := c.confirm(p, "Requests of %s with its present secrets will be refused.", c.Key); err != nil {
			return err
		}
	}
	var secret adminapi.NewSecret
	err := c.post(p, adminapi.Rotation{Keep: wholeSeconds(c.Keep)}, &secret, "accounts", c.Key, "rotate-secret")
	if err != nil {
		return err
	}
	return record[adminapi.NewSecret]{
		document: secret, text: "api_secret: " + secret.Secret + "\n", ids: []string{secret.Secret},
	}.print(p, c.outputFlags)
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
	outputFlags
	confirmFlag
	Key    string        `arg:"" help:"The api_key."`
	Method string        `help:"md5hash, md5, sha1, sha256 or sha512; the one that it has if empty." placeholder:"METHOD"`
	Keep   time.Duration `help:"For how long the old one goes on being good, such as 24h. Without it: not at all." placeholder:"DURATION" param:"keep_seconds"`
}

// Run replaces the signature secret.
func (c *accountSignatureCmd) Run(p *process) error {
	if c.Keep == 0 {
		if err := c.confirm(p, "Requests of %s that are signed with its present secret will be refused.", c.Key); err != nil {
			return err
		}
	}
	var s adminapi.NewSignature
	in := adminapi.SignatureRotation{Method: c.Method, Rotation: adminapi.Rotation{Keep: wholeSeconds(c.Keep)}}
	if err := c.post(p, in, &s, "accounts", c.Key, "rotate-signature"); err != nil {
		return err
	}
	return record[adminapi.NewSignature]{document: s, ids: []string{s.Secret}}.print(p, c.outputFlags)
}

type accountSecretCmd struct {
	List   accountSecretListCmd   `cmd:"" help:"List the secrets that are good by their ids, without the secrets."`
	Add    accountSecretAddCmd    `cmd:"" help:"Give an account one more secret and print it, once."`
	Revoke accountSecretRevokeCmd `cmd:"" help:"End a secret at once."`
}

type accountSecretListCmd struct {
	adminFlag
	outputFlags
	Key string `arg:"" help:"The api_key."`
}

// Run lists the secrets.
func (c *accountSecretListCmd) Run(p *process) error {
	var found adminapi.Secrets
	if err := c.get(p, &found, "accounts", c.Key, "secrets"); err != nil {
		return err
	}
	return list[adminapi.Secret]{
		document: found, rows: found.Secrets,
		header: []string{"ID", "CREATED", "EXPIRES"},
		row: func(s adminapi.Secret) []any {
			expires := "never"
			if s.ExpiresAt != "" {
				expires = isoTime(s.ExpiresAt)
			}
			return []any{s.ID, isoTime(s.CreatedAt), expires}
		},
		id: func(s adminapi.Secret) string { return s.ID },
	}.print(p, c.outputFlags)
}

type accountSecretAddCmd struct {
	adminFlag
	outputFlags
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
	return record[adminapi.AddedSecret]{
		document: added, text: "id: " + added.ID + "\napi_secret: " + added.Value + "\n", ids: []string{added.ID, added.Value},
	}.print(p, c.outputFlags)
}

type accountSecretRevokeCmd struct {
	adminFlag
	confirmFlag
	Key string `arg:"" help:"The api_key."`
	ID  string `arg:"" name:"id" help:"The secret's id, as secret list shows it."`
}

// Run ends the secret.
func (c *accountSecretRevokeCmd) Run(p *process) error {
	if err := c.confirm(p, "Requests of %s with secret %s will be refused.", c.Key, c.ID); err != nil {
		return err
	}
	return c.ask(p, adminapi.Request{Method: http.MethodDelete, Path: adminapi.Path("accounts", c.Key, "secrets", c.ID)}, nil)
}
