package adminapi

import (
	"countersign/internal/store"
)

// Schema is how the schema of the database is.
type Schema struct {
	Steps []SchemaStep `json:"steps"`
}

// SchemaStep is one step of the schema.
type SchemaStep struct {
	Version int64  `json:"version"`
	Name    string `json:"name"`
	Applied string `json:"applied"` // "" while it is not
}

func (c *exchange) schema() (any, error) {
	steps, err := c.cfg.Schema(c.r.Context())
	if err != nil {
		return nil, err
	}
	return Schema{SchemaSteps(steps)}, nil
}

// SchemaSteps are the steps as the API shows them.
func SchemaSteps(steps []store.Migration) []SchemaStep {
	return each(steps, func(s store.Migration) SchemaStep { return SchemaStep{s.Version, s.Name, stamp(s.Applied)} })
}
