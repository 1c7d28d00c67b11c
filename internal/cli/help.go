package cli

import (
	"context"
	"flag"
	"fmt"
	"strings"
)

// help is the whole text of one command.
func help(c command) string {
	flags := flag.NewFlagSet(c.path, flag.ContinueOnError)
	c.setup(flags)
	var b strings.Builder
	usage := "Usage: intuno " + c.path
	list := flagList(flags)
	if list != "" {
		usage += " [flags]"
	}
	if c.path == "help" {
		usage += " [command]"
	}
	fmt.Fprintf(&b, "%s\n\n%s\n", usage, strings.TrimSpace(c.about))
	if list != "" {
		fmt.Fprintf(&b, "\nFlags:\n%s", list)
	}
	fmt.Fprintf(&b, "\nExample:\n%s\n", indent(c.example))
	return b.String()
}

func flagList(flags *flag.FlagSet) string {
	var b strings.Builder
	flags.VisitAll(func(f *flag.Flag) {
		kind, text := flag.UnquoteUsage(f)
		fmt.Fprintf(&b, "  --%-22s %s\n", strings.TrimSpace(f.Name+" "+kind), text)
	})
	return b.String()
}

// overview lists the commands below path ("" is all of them).
func overview(path string) string {
	var b strings.Builder
	if path == "" {
		b.WriteString("intuno: a registry and network of agents, and a private home for your own.\n\n")
	}
	fmt.Fprintf(&b, "Usage: %s COMMAND [flags]\n\nCommands:\n", strings.TrimSpace("intuno "+path))
	for _, c := range commands() {
		if path == "" || strings.HasPrefix(c.path, path+" ") {
			fmt.Fprintf(&b, "  %-24s %s\n", c.path, c.summary)
		}
	}
	if path == "" {
		b.WriteString("\nStart here:\n  intuno serve\n")
	}
	b.WriteString("\nRun 'intuno help COMMAND' or 'intuno COMMAND --help' for details.\n")
	return b.String()
}

func indent(text string) string {
	return "  " + strings.ReplaceAll(strings.TrimSpace(text), "\n", "\n  ")
}

func helpCommand() command {
	return command{
		path:    "help",
		summary: "explain a command",
		about:   "Print the list of commands, or everything about one of them.",
		example: "intuno help admin users create",
		setup: func(flags *flag.FlagSet) func(context.Context, *terminal) error {
			return func(_ context.Context, t *terminal) error {
				path := strings.Join(flags.Args(), " ")
				for _, c := range commands() {
					if c.path == path {
						t.print("%s", help(c))
						return nil
					}
				}
				if _, ok := groups[path]; ok || path == "" {
					t.print("%s", overview(path))
					return nil
				}
				return unknown("", path)
			}
		},
	}
}
