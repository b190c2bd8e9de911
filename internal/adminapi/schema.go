package adminapi

import (
	"countersign/internal/store"
)

// Schema lists the schema migrations.
type Schema struct {
	Steps []SchemaStep `json:"steps"`
}

// SchemaStep is a schema migration.
type SchemaStep struct {
	Version int64  `json:"version"`
	Name    string `json:"name"`
	Applied string `json:"applied"` // "" if not applied
}

func (c *exchange) schema() (any, error) {
	steps, err := c.cfg.Schema(c.r.Context())
	if err != nil {
		return nil, err
	}
	return Schema{SchemaSteps(steps)}, nil
}

// SchemaSteps returns migrations in the form of the API.
func SchemaSteps(steps []store.Migration) []SchemaStep {
	return each(steps, func(s store.Migration) SchemaStep { return SchemaStep{s.Version, s.Name, stamp(s.Applied)} })
}
