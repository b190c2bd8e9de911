package adminapi

import (
	"net/http"

	"countersign/internal/deliver"
	"countersign/internal/web"
)

// Carriers is the response with the carrier status.
type Carriers struct {
	Carriers []deliver.CarrierStatus `json:"carriers"`
}

func (c *exchange) carriers() (any, error) {
	if c.cfg.Carriers == nil {
		return nil, &web.Problem{Status: http.StatusConflict, Detail: "no server is running; the carrier status exists only in a running server"}
	}
	list := c.cfg.Carriers()
	if list == nil {
		list = []deliver.CarrierStatus{}
	}
	return Carriers{list}, nil
}
