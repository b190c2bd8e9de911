package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"text/tabwriter"
	"time"

	"countersign/internal/adminapi"
	"countersign/internal/deliver"
)

type carriersCmd struct {
	adminFlag
	JSON bool `name:"json" help:"Print it as JSON."`
}

// Run asks the running server, and prints what it says.
func (c *carriersCmd) Run(p *process) error {
	cfg, err := c.load(p)
	if err != nil {
		return err
	}
	client, done, err := c.server(p, cfg)
	if err != nil {
		return err
	}
	var list []deliver.CarrierStatus
	if client != nil {
		var answer adminapi.Carriers
		err = errors.Join(client.Do(p.ctx, adminapi.Request{Method: http.MethodGet, Path: "/carriers"}, &answer), done())
		list = answer.Carriers
	} else {
		list, err = opsCarriers(p.ctx, cfg.OpsListen)
	}
	if err != nil {
		return err
	}
	if c.JSON {
		return json.NewEncoder(p.stdout).Encode(list)
	}
	return printCarriers(p.stdout, list)
}

// opsCarriers asks the server of this machine at its ops_listen.
func opsCarriers(ctx context.Context, listen string) (list []deliver.CarrierStatus, err error) {
	if listen == "" {
		return nil, errors.New("the configuration has neither ops_listen nor admin.listen, where the server could be asked")
	}
	body, err := readOps(ctx, listen, "/carriers")
	if err != nil {
		return nil, fmt.Errorf("ask the server: %w", err)
	}
	if err := json.Unmarshal(body, &list); err != nil {
		return nil, fmt.Errorf("read what the server says: %w", err)
	}
	return list, nil
}

// readOps gets a page of the operators' listener of the server on this machine.
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

func printCarriers(out io.Writer, list []deliver.CarrierStatus) error {
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "CARRIER\tTYPE\tSTATE\tBINDS\tWINDOW\tRATE\tLAST ERROR")
	for _, s := range list {
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
		fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\t%s\t%s\n", s.Name, s.Type, state(s), binds, window, rate, lastError)
	}
	return w.Flush()
}

// state is the carrier's in a word.
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
