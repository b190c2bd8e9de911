package adminapi

import (
	"net/http"
)

func keyEndpoints() []endpoint {
	return []endpoint{
		{method: http.MethodGet, path: "/keys", serve: (*exchange).listKeys},
		{method: http.MethodPost, path: "/keys/rotate", serve: (*exchange).rotateKeys, action: "keys.rotate"},
	}
}

// Keys lists the keys of the database, without their values.
type Keys struct {
	Files []KeyFile `json:"files"`
	Data  []DataKey `json:"data"`
}

// KeyFile is a key file that opens the database.
type KeyFile struct {
	Fingerprint string `json:"fingerprint"`
	CreatedAt   string `json:"created_at"`
	UsedAt      string `json:"used_at"` // last use reported by a server; "" for never
	Ours        bool   `json:"ours"`    // whether it is the key file of the responding process
}

// DataKey is a data key, stored encrypted in the database.
type DataKey struct {
	ID        int64  `json:"id"`
	Purpose   string `json:"purpose"`
	CreatedAt string `json:"created_at"`
	Current   bool   `json:"current"` // used for new data
}

func (c *exchange) listKeys() (any, error) {
	keys, err := c.cfg.Store.Vault().Status()
	if err != nil {
		return nil, err
	}
	list := Keys{Files: make([]KeyFile, len(keys.Files)), Data: make([]DataKey, len(keys.Data))}
	for i, f := range keys.Files {
		list.Files[i] = KeyFile{f.Fingerprint, stamp(f.CreatedAt), stamp(f.UsedAt), f.Ours}
	}
	for i, k := range keys.Data {
		list.Data[i] = DataKey{k.ID, string(k.Purpose), stamp(k.CreatedAt), k.Current}
	}
	return list, nil
}

// rotateKeys creates new data keys. The API cannot replace the key file, which requires
// access to the file.
func (c *exchange) rotateKeys() (any, error) {
	return nil, c.cfg.Store.Vault().NewDataKeys(c.change("", nil), c.now())
}
