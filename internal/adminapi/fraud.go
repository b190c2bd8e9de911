package adminapi

import (
	"net/http"
	"strconv"
	"time"

	"countersign/internal/fraud"
	"countersign/internal/velocity"
	"countersign/internal/web"
)

func fraudEndpoints() []endpoint {
	return []endpoint{
		{method: http.MethodGet, path: "/fraud/blocks", serve: (*exchange).listFraudBlocks, query: []string{"all", "limit"}},
		{method: http.MethodGet, path: "/fraud/blocks/{id}", serve: (*exchange).showFraudBlock},
		{method: http.MethodPost, path: "/fraud/blocks/{id}/lift", serve: (*exchange).liftFraudBlock, action: "fraud.lift"},
		{method: http.MethodPost, path: "/fraud/unblocks", serve: (*exchange).unblockNetwork, takes: true, action: "fraud.unblock"},
		{method: http.MethodGet, path: "/fraud/networks", serve: (*exchange).listFraudNetworks, query: []string{"minutes", "limit"}},
	}
}

// FraudBlock is a decision of a velocity rule with its figures.
type FraudBlock struct {
	ID       string        `json:"id"`
	Rule     fraud.Rule    `json:"rule"`
	Action   fraud.Action  `json:"action"`
	Account  string        `json:"account"` // "" for all accounts
	Kind     fraud.Kind    `json:"kind"`
	Value    string        `json:"value"`
	Network  string        `json:"network"` // network in responses with status 7
	Since    string        `json:"since"`
	Until    string        `json:"until"` // "" for no expiry
	Repeat   int           `json:"repeat"`
	Holds    bool          `json:"holds"`
	LiftedAt string        `json:"lifted_at"`
	LiftedBy string        `json:"lifted_by"`
	Figures  fraud.Figures `json:"figures"`
}

// FraudBlocks is the response with blocks.
type FraudBlocks struct {
	Blocks []FraudBlock `json:"blocks"`
}

func toFraudBlock(b fraud.Block, now time.Time) FraudBlock {
	return FraudBlock{
		ID: b.ID, Rule: b.Rule, Action: b.Action, Account: b.Account, Kind: b.Kind, Value: b.Value, Network: b.Network,
		Since: stamp(b.Since), Until: stamp(b.Until), Repeat: b.Repeat, Holds: b.Active(now),
		LiftedAt: stamp(b.LiftedAt), LiftedBy: b.LiftedBy, Figures: b.Figures,
	}
}

const (
	mostBlocks = 1000   // maximum in a response
	maxUnblock = 86_400 // seconds, as in network-unblock
)

func (c *exchange) listFraudBlocks() (any, error) {
	query := c.query
	var err error
	all := false
	if query.Has("all") {
		if all, err = strconv.ParseBool(query.Get("all")); err != nil {
			return nil, invalid("all", "must be true or false")
		}
	}
	n, err := limit(query, 100, mostBlocks)
	if err != nil {
		return nil, err
	}
	now := c.now()
	blocks, err := c.cfg.Store.FraudBlocks(c.r.Context(), all, now, n)
	if err != nil {
		return nil, err
	}
	return FraudBlocks{each(blocks, func(b fraud.Block) FraudBlock { return toFraudBlock(b, now) })}, nil
}

func (c *exchange) showFraudBlock() (any, error) {
	b, err := c.cfg.Store.FraudBlock(c.r.Context(), c.r.PathValue("id"))
	if err != nil {
		return nil, err
	}
	return toFraudBlock(b, c.now()), nil
}

func (c *exchange) liftFraudBlock() (any, error) {
	b, err := c.cfg.Store.FraudBlock(c.r.Context(), c.r.PathValue("id"))
	if err != nil {
		return nil, err
	}
	ctx := c.change(b.ID, map[string]string{"rule": string(b.Rule), "network": b.Network})
	return nil, c.cfg.Store.LiftFraudBlock(ctx, b.ID, c.who.name, c.now())
}

// Unblock is a request to exempt an account's traffic to a network from the rules for a time.
type Unblock struct {
	Account string `json:"account"`
	Network string `json:"network"` // network in the response with status 7
	Seconds int    `json:"seconds"`
}

func (c *exchange) unblockNetwork() (any, error) {
	var u Unblock
	if err := c.read(&u); err != nil {
		return nil, err
	}
	if u.Account == "" || u.Network == "" {
		return nil, &web.Problem{Status: http.StatusBadRequest, Detail: "account and network must be given"}
	}
	if u.Seconds < 0 || u.Seconds > maxUnblock {
		return nil, invalid("seconds", "must be 0 to %d", maxUnblock)
	}
	if _, err := c.cfg.Store.Credentials(c.r.Context(), u.Account); err != nil {
		return nil, ofAccount(err)
	}
	ctx := c.change(u.Account, u)
	now := c.now()
	until := now.Add(time.Duration(u.Seconds) * time.Second)
	found, err := c.cfg.Store.UnblockNetwork(ctx, fraud.Unblock{Account: u.Account, Network: u.Network, Until: until}, c.who.name, now)
	if err != nil {
		return nil, err
	}
	if !found {
		return nil, &web.Problem{Status: http.StatusNotFound, Parameter: "network", Detail: "no block applies to the account on this network"}
	}
	return nil, nil
}

// FraudNetwork is the recent traffic of an account on a network, or on a number prefix
// for an unknown network.
type FraudNetwork struct {
	Account    string  `json:"account"`
	Network    string  `json:"network"`
	Country    string  `json:"country"`
	Starts     int64   `json:"starts"`
	SMS        int64   `json:"sms"`
	Calls      int64   `json:"calls"`
	Successes  int64   `json:"successes"`
	Finished   int64   `json:"finished"`
	Conversion float64 `json:"conversion_percent"` // percentage of finished verifications; 100 without any
}

// FraudNetworks is the response with the busiest networks.
type FraudNetworks struct {
	Networks []FraudNetwork `json:"networks"`
}

func (c *exchange) listFraudNetworks() (any, error) {
	query := c.query
	n, err := limit(query, 20, mostBlocks)
	if err != nil {
		return nil, err
	}
	const usual, most = 60, int(fraud.MaxWindow / time.Minute)
	minutes := usual
	if query.Has("minutes") {
		if minutes, err = strconv.Atoi(query.Get("minutes")); err != nil || minutes < 1 || minutes > most {
			return nil, invalid("minutes", "must be 1 to %d", most)
		}
	}
	places, err := velocity.Status(c.r.Context(), c.cfg.Store, c.now(), time.Duration(minutes)*time.Minute, n)
	if err != nil {
		return nil, err
	}
	return FraudNetworks{each(places, func(p velocity.Place) FraudNetwork {
		return FraudNetwork{p.Account, p.Network, p.Country, p.Starts, p.Sends, p.Calls, p.Successes, p.Finished, p.Conversion()}
	})}, nil
}
