package main

import (
	"cmp"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"text/tabwriter"
	"time"

	"countersign/internal/adminapi"
)

type fraudCmd struct {
	Blocks  fraudBlocksCmd  `cmd:"" help:"List what the velocity rules block, and what they would block or tell of."`
	Show    fraudShowCmd    `cmd:"" help:"Show a block as JSON: which rule, by which figures, for how long."`
	Lift    fraudLiftCmd    `cmd:"" help:"Lift a block before its time."`
	Unblock fraudUnblockCmd `cmd:"" help:"Let an account reach a network for a time, whatever the rules say."`
	Status  fraudStatusCmd  `cmd:"" help:"Show the networks with the most verifications lately, and their conversion."`
}

type fraudBlocksCmd struct {
	adminFlag
	All   bool `help:"Those that are over, too."`
	Limit int  `help:"Most of them, up to 1000. Default: ${default}." default:"100" placeholder:"N"`
}

// Run lists the blocks.
func (c *fraudBlocksCmd) Run(p *process) error {
	query := url.Values{"all": {strconv.FormatBool(c.All)}, "limit": {strconv.Itoa(c.Limit)}}
	var list adminapi.FraudBlocks
	if err := c.ask(p, adminapi.Request{Method: http.MethodGet, Path: "/fraud/blocks", Query: query}, &list); err != nil {
		return err
	}
	w := tabwriter.NewWriter(p.stdout, 0, 0, 2, ' ', 0)
	_, _ = fmt.Fprintln(w, "ID\tRULE\tACTION\tACCOUNT\tTARGET\tSINCE\tUNTIL\tREPEAT")
	for _, b := range list.Blocks {
		until := "lifted by hand"
		if b.Until != "" {
			until = isoTime(b.Until)
		}
		if b.LiftedAt != "" {
			until = "lifted " + isoTime(b.LiftedAt)
		}
		_, _ = fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s %s\t%s\t%s\t%d\n",
			b.ID, b.Rule, b.Action, cmp.Or(b.Account, "all"), b.Kind, b.Value, isoTime(b.Since), until, b.Repeat)
	}
	return w.Flush()
}

type fraudShowCmd struct {
	adminFlag
	ID string `arg:"" name:"id" help:"Id of the block."`
}

// Run shows the block.
func (c *fraudShowCmd) Run(p *process) error {
	var b adminapi.FraudBlock
	if err := c.get(p, &b, "fraud", "blocks", c.ID); err != nil {
		return err
	}
	return p.printJSON(b)
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
	Network string        `arg:"" help:"Network, as the answer with status 7 names it."`
	For     time.Duration `help:"How long, up to 24h. Default: ${default}." default:"1h" placeholder:"TIME" param:"seconds"`
}

// Run unblocks the network.
func (c *fraudUnblockCmd) Run(p *process) error {
	return c.post(p, adminapi.Unblock{Account: c.Account, Network: c.Network, Seconds: int(c.For.Seconds())}, nil, "fraud", "unblocks")
}

type fraudStatusCmd struct {
	adminFlag
	Minutes int `help:"Of the last minutes, up to 1440. Default: ${default}." default:"60" placeholder:"N"`
	Limit   int `help:"Most of them, up to 1000. Default: ${default}." default:"20" placeholder:"N"`
}

// Run lists the networks.
func (c *fraudStatusCmd) Run(p *process) error {
	query := url.Values{"minutes": {strconv.Itoa(c.Minutes)}, "limit": {strconv.Itoa(c.Limit)}}
	var list adminapi.FraudNetworks
	if err := c.ask(p, adminapi.Request{Method: http.MethodGet, Path: "/fraud/networks", Query: query}, &list); err != nil {
		return err
	}
	w := tabwriter.NewWriter(p.stdout, 0, 0, 2, ' ', 0)
	_, _ = fmt.Fprintln(w, "ACCOUNT\tNETWORK\tCOUNTRY\tSTARTS\tSMS\tCALLS\tVERIFIED\tFINISHED\tCONVERSION")
	for _, n := range list.Networks {
		conversion := "-"
		if n.Finished > 0 {
			conversion = fmt.Sprintf("%.1f %%", n.Conversion)
		}
		_, _ = fmt.Fprintf(w, "%s\t%s\t%s\t%d\t%d\t%d\t%d\t%d\t%s\n",
			n.Account, n.Network, n.Country, n.Starts, n.SMS, n.Calls, n.Successes, n.Finished, conversion)
	}
	return w.Flush()
}
