package adminapi

import "net/http"

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

func (c *call) schema() error {
	if _, err := c.query(); err != nil {
		return err
	}
	steps, err := c.cfg.Schema(c.r.Context())
	if err != nil {
		return err
	}
	list := Schema{Steps: make([]SchemaStep, len(steps))}
	for i, s := range steps {
		list.Steps[i] = SchemaStep{s.Version, s.Name, stamp(s.Applied)}
	}
	return c.answer(http.StatusOK, list)
}
