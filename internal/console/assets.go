package console

import (
	"bytes"
	"crypto/sha256"
	"embed"
	"encoding/hex"
	"net/http"
	"time"
)

//go:embed assets
var embedded embed.FS

// assets are the style sheets, scripts and pictures of the pages, by file name.
type assets map[string]asset

type asset struct {
	content []byte
	version string // digest of content
}

func loadAssets() assets {
	entries, err := embedded.ReadDir("assets")
	if err != nil {
		panic(err) // it was there when the binary was built
	}
	all := make(assets, len(entries))
	for _, e := range entries {
		content, err := embedded.ReadFile("assets/" + e.Name())
		if err != nil {
			panic(err)
		}
		digest := sha256.Sum256(content)
		all[e.Name()] = asset{content, hex.EncodeToString(digest[:8])}
	}
	return all
}

// url names a file by its content too, so that a browser keeps it for as long
// as it likes and still sees the new one after an upgrade.
func (a assets) url(name string) string {
	return "/phone/assets/" + name + "?v=" + a[name].version
}

func (a assets) serve(w http.ResponseWriter, r *http.Request) error {
	name := r.PathValue("file")
	file, ok := a[name]
	if !ok {
		http.NotFound(w, r)
		return nil
	}
	if r.URL.Query().Get("v") == file.version {
		w.Header().Set("Cache-Control", "public, max-age=31536000, immutable")
	} else {
		w.Header().Set("Cache-Control", "no-cache")
	}
	w.Header().Set("ETag", `"`+file.version+`"`)
	http.ServeContent(w, r, name, time.Time{}, bytes.NewReader(file.content))
	return nil
}
