package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"time"

	"countersign/internal/adminapi"
	"countersign/internal/deliver"
)

type carriersCmd struct {
	adminFlag
	outputFlags
	JSON bool `name:"json" hidden:"" help:"Print the carriers as JSON on one line. Use --output json instead."`
}

// Run prints the carrier status of the running server.
func (c *carriersCmd) Run(p *process) error {
	cfg, err := c.load(p)
	if err != nil {
		return err
	}
	client, done, err := c.server(p, cfg)
	if err != nil {
		return err
	}
	var found adminapi.Carriers
	if client != nil {
		err = errors.Join(selectAnother(client.Do(p.ctx, adminapi.Request{Method: http.MethodGet, Path: "/carriers"}, &found)), done())
	} else {
		found.Carriers, err = opsCarriers(p.ctx, cfg.OpsListen)
	}
	if err != nil {
		return err
	}
	if c.JSON {
		return json.NewEncoder(p.stdout).Encode(found.Carriers)
	}
	return list[deliver.CarrierStatus]{
		document: found, rows: found.Carriers,
		header: []string{"CARRIER", "TYPE", "STATE", "BINDS", "WINDOW", "RATE", "LAST ERROR"},
		row:    carrierCells,
		id:     func(s deliver.CarrierStatus) string { return s.Name },
	}.print(p, c.outputFlags)
}

// opsCarriers reads the carrier status from ops_listen of this machine.
func opsCarriers(ctx context.Context, listen string) (list []deliver.CarrierStatus, err error) {
	if listen == "" {
		return nil, errors.New("the configuration has neither ops_listen nor admin.listen; set one of them to read the carrier status")
	}
	body, err := readOps(ctx, listen, "/carriers")
	if err != nil {
		return nil, fmt.Errorf("read the carrier status from the server at ops_listen: %w; start the server, or select another with --admin URL or admin.url", err)
	}
	if err := json.Unmarshal(body, &list); err != nil {
		return nil, fmt.Errorf("parse the carrier status: %w", err)
	}
	return list, nil
}

// readOps returns a page of ops_listen of this machine, up to 16 MiB.
func readOps(ctx context.Context, listen, path string) ([]byte, error) {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+reachable(listen)+path, nil)
	if err != nil {
		return nil, err
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(io.LimitReader(resp.Body, 16<<20))
	if err == nil && resp.StatusCode != http.StatusOK {
		err = errors.New(resp.Status)
	}
	return body, err
}

// carrierCells returns the table row of a carrier.
func carrierCells(s deliver.CarrierStatus) []any {
	binds, window, rate, lastError := "-", "-", "-", "-"
	if len(s.Binds) > 0 {
		binds = fmt.Sprintf("%d/%d", s.Up(), len(s.Binds))
	}
	if s.Window > 0 {
		window = fmt.Sprintf("%d/%d", s.InFlight, s.Window)
	}
	if s.Rate > 0 {
		rate = strconv.FormatFloat(s.Rate, 'f', 0, 64) + "/s"
	}
	if s.Rate != s.RateLimit {
		rate += " (slowed)"
	}
	if len(s.Errors) > 0 {
		e := s.Errors[0]
		lastError = fmt.Sprintf("%s %s", e.At.Format(time.RFC3339), e.Error)
		if e.Times > 1 {
			lastError += fmt.Sprintf(" (%d times)", e.Times)
		}
	}
	return []any{s.Name, s.Type, state(s), binds, window, rate, lastError}
}

// state returns the state of a carrier for the table.
func state(s deliver.CarrierStatus) string {
	switch {
	case len(s.Binds) > 0 && s.Up() == 0:
		return "down"
	case s.Down:
		return "marked down"
	case s.Up() < len(s.Binds):
		return "partly up"
	}
	return "up"
}
