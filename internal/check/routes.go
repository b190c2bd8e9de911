package check

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"countersign/internal/account"
	"countersign/internal/config"
	"countersign/internal/deliver/tts"
	"countersign/internal/server"
	"countersign/internal/verify"
)

// carrierSettings validates each carrier with its package, which reads the files in its
// settings.
func carrierSettings(ctx context.Context, in *installation) (found []Finding) {
	for i, c := range in.Config.Carriers {
		check := server.CarrierTypeOf(c).Check
		if check == nil {
			continue
		}
		err := check(ctx, c, in.Log)
		if err != nil {
			found = append(found, fail(carrierKey(i, ""), err.Error(), "correct the setting, or put the file in its place, readable for "+userName())...)
		}
	}
	return found
}

// takes reports whether a carrier takes messages of a channel.
func takes(c config.Carrier, channel verify.Channel) bool {
	return server.CarrierTypeOf(c).Takes(channel) && !slices.Contains(c.Refuse, channel)
}

// unrouted checks that a message can get to each carrier, and from each route to a
// carrier that takes it.
func unrouted(_ context.Context, in *installation) (found []Finding) {
	cfg := in.Config
	reached := map[string]bool{}
	for i, r := range cfg.Routes {
		able := len(r.Carriers) == 0 // not routable on purpose
		for j, name := range r.Carriers {
			if j < len(r.Weights) && r.Weights[j] == 0 {
				continue
			}
			reached[name] = true
			able = able || r.Channel == "" || takes(carrier(cfg, name), r.Channel)
		}
		if !able {
			found = append(found, warn(fmt.Sprintf("routes[%d].carriers", i), fmt.Sprintf("no carrier of this route (%s) takes %s", strings.Join(r.Carriers, ", "), r.Channel.Info().Plural),
				"name a carrier that does, or change the channel of the route")...)
		}
	}
	if len(cfg.Carriers) == 0 {
		found = append(found, warn("carriers", "no carrier is configured, so no messages can be sent", "add a carrier and a route")...)
	}
	for i, c := range cfg.Carriers {
		if !reached[c.Name] {
			found = append(found, warn(carrierKey(i, ".name"), fmt.Sprintf("no route leads to carrier %s, so it gets no message", c.Name),
				"add it to the carriers of a route, with a weight above 0, or remove it")...)
		}
	}
	return found
}

func carrier(cfg config.Config, name string) config.Carrier {
	for _, c := range cfg.Carriers {
		if c.Name == name {
			return c
		}
	}
	return config.Carrier{}
}

// channels checks that the steps of workflows have a route: a destination of one channel must
// also be one of the others, if an allowed workflow uses both.
func channels(_ context.Context, in *installation) (found []Finding) {
	for _, has := range verify.Channels() {
		for _, lacks := range verify.Channels() {
			if has.Channel != lacks.Channel {
				found = append(found, unreached(in, has.Channel, lacks)...)
			}
		}
	}
	return found
}

// unreached reports each route for messages of channel has without a route of channel lacks
// to the same destinations.
func unreached(in *installation, has verify.Channel, lacks verify.ChannelInfo) (found []Finding) {
	cfg := in.Config
	workflows := workflowsWith(in.survey(), has, lacks.Channel)
	if len(workflows) == 0 {
		return nil
	}
	for i, r := range cfg.Routes {
		if !leads(cfg, r, has) || reaches(cfg, r, lacks.Channel) {
			continue
		}
		found = append(found, warn(fmt.Sprintf("routes[%d]", i),
			fmt.Sprintf("workflows %s also use %s, and no route leads %s for the same destinations to a carrier that takes them", numbers(workflows), lacks.Plural, lacks.Plural),
			fmt.Sprintf("add a route with channel: %s to a %s; or allow accounts only workflows without %s (countersign account set --allow-workflow)",
				lacks.Channel, carrierTypes(lacks.Channel), lacks.Plural))...)
	}
	return found
}

// carrierTypes names the types of carriers that deliver messages of a channel.
func carrierTypes(c verify.Channel) string {
	var names []string
	for _, t := range server.CarrierTypes() {
		if !t.Internal && t.Takes(c) {
			names = append(names, t.Name)
		}
	}
	return "carrier of type " + strings.Join(names, " or ")
}

// workflowsWith returns the ids of the workflows with two channels that an account may use.
// Without accounts it is every workflow.
func workflowsWith(s survey, a, b verify.Channel) (ids []int) {
	for id := 1; id <= account.WorkflowIDs; id++ {
		uses := func(c verify.Channel) bool {
			return slices.ContainsFunc(account.Steps(id), func(s verify.Step) bool { return s.Channel == c })
		}
		allowed := len(s.accounts) == 0
		for _, user := range s.accounts {
			allowed = allowed || !user.Barred && account.AllowsWorkflow(user.Settings, id)
		}
		if allowed && uses(a) && uses(b) {
			ids = append(ids, id)
		}
	}
	return ids
}

func numbers(ids []int) string {
	return strings.Trim(strings.ReplaceAll(fmt.Sprint(ids), " ", ", "), "[]")
}

// leads reports whether a route has a carrier that takes messages of a channel.
func leads(cfg config.Config, r config.Route, channel verify.Channel) bool {
	if r.Channel != "" && r.Channel != channel {
		return false
	}
	for i, name := range r.Carriers {
		if (i >= len(r.Weights) || r.Weights[i] > 0) && takes(carrier(cfg, name), channel) {
			return true
		}
	}
	return false
}

// reaches reports whether a carrier takes messages of a channel to destinations of a route. A
// route for a part of them is enough.
func reaches(cfg config.Config, to config.Route, channel verify.Channel) bool {
	for _, r := range cfg.Routes {
		covers := (r.Account == "" || r.Account == to.Account) && (r.Sender == "" || r.Sender == to.Sender) &&
			(r.Network == "" || r.Network == to.Network) && prefixed(r.Prefix, to.Prefix) &&
			(r.Country == "" || to.Country == "" || r.Country == to.Country)
		if covers && leads(cfg, r, channel) {
			return true
		}
	}
	return false
}

// prefixed reports whether numbers with prefix to may have prefix p.
func prefixed(p, to string) bool { return strings.HasPrefix(to, p) || strings.HasPrefix(p, to) }

// prices checks that each enabled country is in the price list. Other countries share one
// price, which is rarely right for a country that the operator names. Without it a start
// fails.
func prices(_ context.Context, in *installation) (found []Finding) {
	s := in.survey()
	if !s.used() {
		return nil
	}
	list, err := verify.NewPriceList(s.prices)
	if err != nil {
		return fail("", "the price list is inconsistent: "+err.Error(), "correct it: countersign price show, countersign price set")
	}
	own := slices.DeleteFunc(slices.Clone(s.prices), func(p verify.Price) bool { return p.Country == "" })
	countries, err := verify.NewPriceList(own)
	if err != nil {
		return nil // a part of a consistent list is consistent
	}
	now := in.Now()
	for _, to := range destinations(in.Config, s) {
		problem := ""
		for _, channel := range phoneChannels() { // the first step decides
			if _, ok := countries.Find("", "", to.country, channel, now); ok {
				continue
			}
			if amount, ok := list.Find("", "", "", channel, now); ok {
				problem = fmt.Sprintf("no price is set for %s, so the price of all other countries (%s) is charged", to.country, amount)
				continue
			}
			problem = fmt.Sprintf("no price is set for %s, so verifications in this country fail", to.country)
			break
		}
		if problem != "" {
			found = append(found, warn(to.setting, problem, "run: countersign price set "+to.country+" PRICE")...)
		}
	}
	return found
}

// phoneChannels returns the channels with a price by country.
func phoneChannels() []verify.Channel {
	return verify.ChannelsWith(func(c verify.ChannelInfo) bool { return c.Priced && c.Address == verify.Phone })
}

// destination is a country that a setting enables.
type destination struct{ setting, country string }

// destinations returns the enabled countries, each once.
func destinations(cfg config.Config, s survey) (list []destination) {
	add := func(setting, country string) {
		same := func(d destination) bool { return d.country == country }
		if country != "" && !slices.ContainsFunc(list, same) {
			list = append(list, destination{setting, country})
		}
	}
	for i, r := range cfg.Routes {
		if len(r.Carriers) > 0 {
			add(fmt.Sprintf("routes[%d].country", i), r.Country)
		}
	}
	for i, c := range cfg.Carriers {
		for j, country := range c.SIP.Countries {
			add(carrierKey(i, fmt.Sprintf(".sip.countries[%d]", j)), country)
		}
	}
	for i, country := range cfg.Fraud.Voice.Countries {
		add(fmt.Sprintf("fraud.voice.countries[%d]", i), country)
	}
	for _, a := range s.accounts {
		for _, country := range a.Settings.Countries {
			add("account "+a.Key, country)
		}
	}
	return list
}

// languages checks the operator's own texts and variants of digits.
func languages(_ context.Context, in *installation) (found []Finding) {
	if _, err := server.Messages(in.Config); err != nil {
		setting, problem, _ := strings.Cut(err.Error(), ": ")
		remedy := "correct the file, or remove it from the setting"
		if setting == "locale_of_country" {
			remedy = "use a locale of the program or of locale_files"
		}
		found = append(found, fail(setting, problem, remedy)...)
	}
	clips := tts.Config{ClipsOnly: true, Digits: in.Config.TTS.Digits}
	if _, err := tts.New(clips); err != nil {
		found = append(found, fail("tts.digits", strings.TrimPrefix(err.Error(), "tts: digits: "), "use a variant of the locale, or remove it")...)
	}
	return found
}

// speech checks that calls have words besides the code.
func speech(_ context.Context, in *installation) []Finding {
	cfg := in.Config
	speaks := func(c config.Carrier) bool {
		taken := func(info verify.ChannelInfo) bool { return info.Spoken && takes(c, info.Channel) }
		_, ok := verify.FindChannel(taken)
		return ok && !server.CarrierTypeOf(c).Silent
	}
	if !slices.ContainsFunc(cfg.Carriers, speaks) {
		return nil
	}
	setting := "tts.espeak"
	if len(cfg.TTS.Command) > 0 {
		setting = "tts.command"
	}
	speaking := server.SpeechConfig(cfg.TTS, in.Log)
	speaking.Digits = nil // the check "languages" reports them
	speaker, err := tts.New(speaking)
	switch {
	case err != nil:
		return fail(setting, err.Error(), "install the program, or correct its path")
	case speaker.Program() == "":
		return warn(setting, "espeak-ng is not installed, so calls speak only \"your code\" and the code", "run: apt-get install espeak-ng")
	}
	return nil
}
