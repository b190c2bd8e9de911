package main

import (
	"cmp"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"time"

	"countersign/internal/adminapi"
)

type fraudCmd struct {
	Blocks  fraudBlocksCmd  `cmd:"" help:"List the blocks by velocity rules, and blocks in shadow mode."`
	Show    fraudShowCmd    `cmd:"" help:"Show a block: rule, figures and duration."`
	Lift    fraudLiftCmd    `cmd:"" help:"Lift a block before it expires."`
	Unblock fraudUnblockCmd `cmd:"" help:"Exempt an account's traffic to a network from the rules for a time."`
	Status  fraudStatusCmd  `cmd:"" help:"Show the networks with the most recent verifications, and their conversion rates."`
}

type fraudBlocksCmd struct {
	adminFlag
	outputFlags
	All   bool `help:"Include expired and lifted blocks."`
	Limit int  `help:"Maximum number of blocks, up to 1000. Default: ${default}." default:"100" placeholder:"N"`
}

// Run lists the blocks.
func (c *fraudBlocksCmd) Run(p *process) error {
	query := url.Values{"all": {strconv.FormatBool(c.All)}, "limit": {strconv.Itoa(c.Limit)}}
	var found adminapi.FraudBlocks
	if err := c.ask(p, adminapi.Request{Method: http.MethodGet, Path: "/fraud/blocks", Query: query}, &found); err != nil {
		return err
	}
	return list[adminapi.FraudBlock]{
		document: found, rows: found.Blocks,
		header: []string{"ID", "RULE", "ACTION", "ACCOUNT", "TARGET", "SINCE", "UNTIL", "REPEAT"},
		row: func(b adminapi.FraudBlock) []any {
			return []any{b.ID, b.Rule, b.Action, cmp.Or(b.Account, "all"), string(b.Kind) + " " + b.Value, isoTime(b.Since), endOf(b), b.Repeat}
		},
		id: func(b adminapi.FraudBlock) string { return b.ID },
	}.print(p, c.outputFlags)
}

// endOf returns the end of a block for the table.
func endOf(b adminapi.FraudBlock) string {
	switch {
	case b.LiftedAt != "":
		return "lifted " + isoTime(b.LiftedAt)
	case b.Until == "":
		return "lifted by hand"
	}
	return isoTime(b.Until)
}

type fraudShowCmd struct {
	adminFlag
	outputFlags
	ID string `arg:"" name:"id" help:"Id of the block."`
}

// Run shows the block.
func (c *fraudShowCmd) Run(p *process) error {
	var b adminapi.FraudBlock
	if err := c.get(p, &b, "fraud", "blocks", c.ID); err != nil {
		return err
	}
	return record[adminapi.FraudBlock]{document: b, ids: []string{b.ID}}.print(p, c.outputFlags)
}

type fraudLiftCmd struct {
	adminFlag
	ID string `arg:"" name:"id" help:"Id of the block."`
}

// Run lifts the block.
func (c *fraudLiftCmd) Run(p *process) error {
	return c.post(p, nil, nil, "fraud", "blocks", c.ID, "lift")
}

type fraudUnblockCmd struct {
	adminFlag
	Account string        `arg:"" help:"The api_key."`
	Network string        `arg:"" help:"Network, as in the response with status 7."`
	For     time.Duration `help:"Duration, up to 24h. Default: ${default}." default:"1h" placeholder:"TIME" param:"seconds"`
}

// Run unblocks the network.
func (c *fraudUnblockCmd) Run(p *process) error {
	return c.post(p, adminapi.Unblock{Account: c.Account, Network: c.Network, Seconds: int(c.For.Seconds())}, nil, "fraud", "unblocks")
}

type fraudStatusCmd struct {
	adminFlag
	outputFlags
	Minutes int `help:"Period in minutes, up to 1440. Default: ${default}." default:"60" placeholder:"N"`
	Limit   int `help:"Maximum number of networks, up to 1000. Default: ${default}." default:"20" placeholder:"N"`
}

// Run lists the networks.
func (c *fraudStatusCmd) Run(p *process) error {
	query := url.Values{"minutes": {strconv.Itoa(c.Minutes)}, "limit": {strconv.Itoa(c.Limit)}}
	var found adminapi.FraudNetworks
	if err := c.ask(p, adminapi.Request{Method: http.MethodGet, Path: "/fraud/networks", Query: query}, &found); err != nil {
		return err
	}
	return list[adminapi.FraudNetwork]{
		document: found, rows: found.Networks,
		header: []string{"ACCOUNT", "NETWORK", "COUNTRY", "STARTS", "SMS", "CALLS", "VERIFIED", "FINISHED", "CONVERSION"},
		row: func(n adminapi.FraudNetwork) []any {
			conversion := "-"
			if n.Finished > 0 {
				conversion = fmt.Sprintf("%.1f %%", n.Conversion)
			}
			return []any{n.Account, n.Network, n.Country, n.Starts, n.SMS, n.Calls, n.Successes, n.Finished, conversion}
		},
		id: func(n adminapi.FraudNetwork) string { return n.Account + " " + n.Network },
	}.print(p, c.outputFlags)
}
