package cli

import (
	"context"
	"flag"
	"runtime"
	"runtime/debug"
)

// release is the version of this source; a build adds the commit by itself.
const release = "0.1.0"

// build describes the running program.
type build struct {
	Version  string `json:"version"`
	Commit   string `json:"commit"`   // "" outside a repository
	Modified bool   `json:"modified"` // the tree had changes that were not committed
	Go       string `json:"go"`
	Platform string `json:"platform"`
}

func thisBuild() build {
	b := build{Version: release, Go: runtime.Version(), Platform: runtime.GOOS + "/" + runtime.GOARCH}
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return b
	}
	for _, s := range info.Settings {
		switch s.Key {
		case "vcs.revision":
			b.Commit = s.Value
		case "vcs.modified":
			b.Modified = s.Value == "true"
		}
	}
	return b
}

// String is one line for a person.
func (b build) String() string {
	text := "intuno " + b.Version
	if b.Commit != "" {
		text += " commit " + b.Commit[:min(12, len(b.Commit))]
	}
	if b.Modified {
		text += " with local changes"
	}
	return text + " (" + b.Go + ", " + b.Platform + ")"
}

func versionCommand() command {
	return command{
		path:    "version",
		summary: "print the version of this program",
		about:   "Print the version, the commit it was built from, and the Go version.",
		example: "intuno version",
		setup: func(*flag.FlagSet) func(context.Context, *terminal) error {
			return func(_ context.Context, t *terminal) error {
				t.print("%s\n", thisBuild())
				return nil
			}
		},
	}
}
