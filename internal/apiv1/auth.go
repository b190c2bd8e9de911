package apiv1

import (
	"net/http"

	"countersign/internal/engine"
	"countersign/internal/verify"
)

// readProof returns the credentials of a request: parameters, otherwise the Basic header,
// since SDKs of different age use either. A request with a sig parameter is signed and
// needs no secret.
func (c *exchange) readProof(r *http.Request) (engine.Proof, error) {
	p := c.params
	proof := engine.Proof{
		Key: p.get("api_key"), Secret: p.get("api_secret"), Signature: p.get("sig"), Source: c.source,
	}
	if key, secret, ok := r.BasicAuth(); ok && proof.Signature == "" {
		if proof.Key == "" {
			proof.Key = key
		}
		if proof.Secret == "" && proof.Key == key {
			proof.Secret = secret
		}
	}
	switch {
	case proof.Key == "":
		return proof, verify.Missing("api_key")
	case proof.Signature != "":
		proof.Params = p.flat()
	case proof.Secret == "":
		return proof, verify.Missing("api_secret")
	}
	return proof, nil
}
