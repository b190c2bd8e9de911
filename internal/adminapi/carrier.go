package adminapi

import (
	"net/http"

	"countersign/internal/deliver"
	"countersign/internal/web"
)

// Carriers is how the carriers of the server are.
type Carriers struct {
	Carriers []deliver.CarrierStatus `json:"carriers"`
}

func (c *exchange) carriers() (any, error) {
	if c.cfg.Carriers == nil {
		return nil, &web.Problem{Status: http.StatusConflict, Detail: "no server runs, which alone knows its carriers"}
	}
	list := c.cfg.Carriers()
	if list == nil {
		list = []deliver.CarrierStatus{}
	}
	return Carriers{list}, nil
}
