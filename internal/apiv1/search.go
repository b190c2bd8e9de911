package apiv1

import (
	"context"
	"slices"

	"countersign/internal/verify"
)

// maxSearch limits the verifications in one search.
const maxSearch = 10

// search serves /verify/search/{format}: it returns one verification (request_id) or a
// list of up to ten (request_ids). A repeated id has one result.
func (a *API) search(ctx context.Context, c *exchange) (any, error) {
	texts := slices.DeleteFunc(slices.Clone(c.params[listParam]), func(id string) bool { return id == "" })
	single := len(texts) == 0
	if single {
		if err := c.need("request_id"); err != nil {
			return nil, err
		}
	}
	if id := c.params.get("request_id"); id != "" {
		texts = append(texts, id)
	}
	if len(texts) > maxSearch {
		return nil, &verify.Error{Kind: verify.KindTooManyIDs}
	}
	param := listParam
	if single {
		param = "request_id"
	}
	var ids []verify.ID
	for _, text := range texts {
		id, err := parseRequestID(param, text)
		if err != nil {
			return nil, err
		}
		if !slices.Contains(ids, id) {
			ids = append(ids, id)
		}
	}
	records, err := a.cfg.Engine.Search(ctx, c.account, ids)
	if err != nil {
		return nil, err
	}
	if len(records) == 0 {
		return nil, &verify.Error{Kind: verify.KindNotFound}
	}
	if single {
		return a.searchAnswer(records[0]), nil
	}
	list := searchListResponse{}
	for _, r := range records {
		list.Requests = append(list.Requests, a.searchAnswer(r))
	}
	return list, nil
}
