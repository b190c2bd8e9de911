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
	Keep time.Duration `help:"Grace period for the old secrets, such as 24h. Default: none." placeholder:"DURATION" param:"keep_seconds"`
}

// Run replaces the secrets.
func (c *accountRotateCmd) Run(p *process) error {
	if c.Keep == 0 {
		if err := c.confirm(p, "Requests of %s with its current secrets will be refused.", c.Key); err != nil {
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

// wholeSeconds rounds up: 0 means no expiry, so a shorter duration must not become 0.
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
	Method string        `help:"Signature method: md5hash, md5, sha1, sha256 or sha512. Default: unchanged." placeholder:"METHOD"`
	Keep   time.Duration `help:"Grace period for the old secret, such as 24h. Default: none." placeholder:"DURATION" param:"keep_seconds"`
}

// Run replaces the signature secret.
func (c *accountSignatureCmd) Run(p *process) error {
	if c.Keep == 0 {
		if err := c.confirm(p, "Requests of %s signed with its current secret will be refused.", c.Key); err != nil {
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
	List   accountSecretListCmd   `cmd:"" help:"List the ids of the valid secrets, without the secrets."`
	Add    accountSecretAddCmd    `cmd:"" help:"Add a secret to an account and print it once."`
	Revoke accountSecretRevokeCmd `cmd:"" help:"Revoke a secret immediately."`
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
	Secret    string         `help:"The secret, at least 8 characters. Default: generated. Other users can see it on the command line."`
	ExpiresIn *time.Duration `help:"Validity of the secret, such as 24h. Default: unlimited." placeholder:"DURATION" param:"expires_in_seconds"`
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
	ID  string `arg:"" name:"id" help:"Id of the secret, from secret list."`
}

// Run revokes the secret.
func (c *accountSecretRevokeCmd) Run(p *process) error {
	if err := c.confirm(p, "Requests of %s with secret %s will be refused.", c.Key, c.ID); err != nil {
		return err
	}
	return c.ask(p, adminapi.Request{Method: http.MethodDelete, Path: adminapi.Path("accounts", c.Key, "secrets", c.ID)}, nil)
}
