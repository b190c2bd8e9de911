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

// assets maps file names to the style sheets, scripts and images of the pages.
type assets map[string]asset

type asset struct {
	content []byte
	version string // digest of content
}

func loadAssets() assets {
	entries, err := embedded.ReadDir("assets")
	if err != nil {
		panic(err) // impossible: the directory is embedded
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

// url returns the URL of a file with the version of its content. A browser can cache it
// indefinitely and still loads the new file after an upgrade.
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
