package main

import (
	"fmt"
	"runtime"
	"runtime/debug"

	"github.com/spf13/cobra"
)

// build is what the linker knows about this binary.
type build struct {
	Version  string `json:"version"`
	Revision string `json:"revision,omitempty"`
	Time     string `json:"time,omitempty"` // of the revision
	Modified bool   `json:"modified,omitempty"`
	Go       string `json:"go"`
	Platform string `json:"platform"`
}

func readBuild() build {
	b := build{Version: "(devel)", Go: runtime.Version(), Platform: runtime.GOOS + "/" + runtime.GOARCH}
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return b
	}
	if info.Main.Version != "" {
		b.Version = info.Main.Version
	}
	for _, s := range info.Settings {
		switch s.Key {
		case "vcs.revision":
			b.Revision = s.Value
		case "vcs.time":
			b.Time = s.Value
		case "vcs.modified":
			b.Modified = s.Value == "true"
		}
	}
	return b
}

func newVersion(w world) *cobra.Command {
	cmd := &cobra.Command{
		Use:     "version",
		Short:   "Print the version",
		Long:    "Print the version, the revision it was built from, and the Go release that built it.",
		Example: "  flowroute-worker version --json",
		Args:    noArguments(),
	}
	jsonOut := asJSON(cmd)
	cmd.RunE = func(*cobra.Command, []string) error {
		b := readBuild()
		if *jsonOut {
			return printJSON(w.out, b)
		}
		text := "flowroute-worker " + b.Version
		if b.Revision != "" {
			text += fmt.Sprintf(" (%.12s)", b.Revision)
		}
		_, err := fmt.Fprintf(w.out, "%s, %s, %s\n", text, b.Go, b.Platform)
		return err
	}
	return cmd
}
