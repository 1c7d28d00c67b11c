// Package web holds the files that wisdom serves to browsers, exactly as they are
// in the repository: there is no build step. It has no logic.
package web

import (
	"embed"
	"io/fs"
)

//go:embed docs
var files embed.FS

// Docs is the page that shows the API description, with Swagger UI (Apache-2.0).
func Docs() fs.FS {
	sub, err := fs.Sub(files, "docs")
	if err != nil {
		return files // the folder is embedded: it cannot be missing
	}
	return sub
}
