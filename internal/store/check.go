package store

import (
	"fmt"

	"countersign/internal/verify"
)

const addCheck change = `INSERT INTO checks (verification, seq, generation, code, valid, ip_address, received_at)
	SELECT new.verification, (SELECT COUNT(*) FROM checks WHERE checks.verification = new.verification),
		new.generation, new.code, new.valid, new.ip_address, new.received_at
	FROM new (verification BYTEA, generation INT, code BYTEA, valid BOOLEAN, ip_address TEXT, received_at BIGINT)`

// AddCheck adds a code submission to the history.
func (tx *Tx) AddCheck(c verify.Check) error {
	err := tx.change(addCheck, c.Verification, c.Verification[:], c.Generation, tx.seal.sealPIN(forCode, c.Code, c.Verification, c.Generation),
		c.Valid, c.IPAddress, millis(c.ReceivedAt))
	if err != nil {
		return fmt.Errorf("add check to %s: %w", c.Verification, err)
	}
	return nil
}

const findChecks = `SELECT generation, code, valid, ip_address, received_at
	FROM checks WHERE verification = $1 ORDER BY seq`

func scanChecks(rows rows, err error, seal *sealer, id verify.ID) ([]verify.Check, error) {
	if err != nil {
		return nil, fmt.Errorf("load checks: %w", err)
	}
	defer rows.Close()
	var checks []verify.Check
	for rows.Next() {
		c := verify.Check{Verification: id}
		var sealed []byte
		var received int64
		if err := rows.Scan(&c.Generation, &sealed, &c.Valid, &c.IPAddress, &received); err != nil {
			return nil, fmt.Errorf("load checks: %w", err)
		}
		if c.Code, err = seal.openCode(sealed, id, c.Generation); err != nil {
			return nil, err
		}
		c.ReceivedAt = fromMillis(received)
		checks = append(checks, c)
	}
	return checks, rows.Err()
}
