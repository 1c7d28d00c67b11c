package cli

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/IntunoAI/intuno-go/internal/fault"
)

// Exit codes.
const (
	exitOK    = 0
	exitError = 1 // the command could not do its work
	exitUsage = 2 // it was not understood
)

// command is one row of the table. Its texts are shown by --help as they are.
type command struct {
	path    string // "admin users list"
	summary string // one line, for the list of commands
	about   string // what it does
	example string
	// setup declares the flags and returns what to run once they are parsed.
	setup func(*flag.FlagSet) func(context.Context, *terminal) error
}

// terminal is what a command may touch of the outside.
type terminal struct {
	vars     map[string]string // the environment, without blank variables
	in       io.Reader
	out, err io.Writer
}

// groups are the words that only lead to commands, with a summary each.
var groups = map[string]string{"admin": "work on the database as the operator", "admin users": "list, create and change users"}

func commands() []command {
	return []command{
		serveCommand(), wisdomCommand(), agentsCommand(),
		usersListCommand(), usersCreateCommand(), usersActiveCommand(true), usersActiveCommand(false), usersPlanCommand(), usersAdminCommand(),
		doctorCommand(), versionCommand(), helpCommand(),
	}
}

// Main runs the command that args name (without the program's own name) and returns
// the exit code. environ has the form of os.Environ.
func Main(args, environ []string, stdin io.Reader, stdout, stderr io.Writer) int {
	t := &terminal{vars: variables(environ), in: stdin, out: stdout, err: stderr}
	return t.run(context.Background(), args)
}

// usageError is a command line that was not understood. hint says where to look.
type usageError struct{ text, hint string }

// Error implements error.
func (e usageError) Error() string { return e.text + "\n" + e.hint }

// faultList is several errors, told one a line.
type faultList []error

// Error implements error.
func (f faultList) Error() string {
	lines := make([]string, len(f))
	for i, err := range f {
		lines[i] = err.Error()
	}
	return strings.Join(lines, "\n")
}

func (t *terminal) run(ctx context.Context, args []string) int {
	name, err := t.dispatch(ctx, args)
	if err == nil {
		return exitOK
	}
	prefix := strings.TrimSpace("intuno " + name)
	for line := range strings.Lines(message(err)) {
		t.printErr("%s: %s\n", prefix, strings.TrimSpace(line))
	}
	if errors.As(err, new(usageError)) {
		return exitUsage
	}
	return exitError
}

// message is the text for a person: of a fault only what is meant to be seen.
func message(err error) string {
	f := fault.As(err)
	if f == nil {
		return err.Error()
	}
	if len(f.Problems) == 0 {
		return f.Detail
	}
	var lines []string
	for _, p := range f.Problems {
		lines = append(lines, fmt.Sprintf("%v: %s", p.Loc[len(p.Loc)-1], p.Msg))
	}
	return strings.Join(lines, "\n")
}

// dispatch finds the command with the longest path and runs it.
func (t *terminal) dispatch(ctx context.Context, args []string) (name string, err error) {
	if len(args) > 0 && strings.TrimLeft(args[0], "-") == "version" {
		args = append([]string{"version"}, args[1:]...)
	}
	words := slices.IndexFunc(args, func(a string) bool { return strings.HasPrefix(a, "-") })
	if words < 0 {
		words = len(args)
	}
	for n := min(words, 3); n > 0; n-- {
		path := strings.Join(args[:n], " ")
		for _, c := range commands() {
			if c.path == path {
				return path, t.execute(ctx, c, args[n:])
			}
		}
		if _, ok := groups[path]; ok {
			return path, t.group(path, args[n:])
		}
	}
	if words > 0 {
		return "", unknown("", args[0])
	}
	if len(args) == 0 {
		t.print("%s", overview(""))
		return "", usageError{"no command given", "see the list above, or run 'intuno help COMMAND'"}
	}
	if !isHelp(args[0]) {
		return "", usageError{fmt.Sprintf("unknown flag %s", args[0]), "flags come after the command: run 'intuno help'"}
	}
	t.print("%s", overview(""))
	return "", nil
}

func isHelp(arg string) bool { return slices.Contains([]string{"-h", "-help", "--help"}, arg) }

// group answers for a word that needs another one.
func (t *terminal) group(path string, rest []string) error {
	switch {
	case len(rest) > 0 && isHelp(rest[0]):
		t.print("%s", overview(path))
		return nil
	case len(rest) > 0 && !strings.HasPrefix(rest[0], "-"):
		return unknown(path, rest[0])
	}
	t.print("%s", overview(path))
	return usageError{"a command is missing", fmt.Sprintf("see the list above, or run 'intuno %s --help'", path)}
}

// unknown names the nearest word, if one is near.
func unknown(path, word string) error {
	hint := strings.TrimSpace("run 'intuno help "+path) + "' for the list of commands"
	best := 3
	for _, c := range commands() {
		next, ok := strings.CutPrefix(c.path, strings.TrimLeft(path+" ", " "))
		if !ok {
			continue
		}
		next, _, _ = strings.Cut(next, " ")
		if d := distance(word, next); d < best {
			best, hint = d, fmt.Sprintf("did you mean '%s'?", strings.TrimSpace("intuno "+path)+" "+next)
		}
	}
	return usageError{fmt.Sprintf("unknown command %q", word), hint}
}

// distance is the number of letters to insert, delete or replace (Levenshtein).
func distance(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			cost := diagonal
			if a[i] != b[j] {
				cost++
			}
			diagonal = row[j+1]
			row[j+1] = min(cost, row[j]+1, row[j+1]+1)
		}
	}
	return row[len(b)]
}

func (t *terminal) execute(ctx context.Context, c command, args []string) error {
	flags := flag.NewFlagSet(c.path, flag.ContinueOnError)
	flags.SetOutput(io.Discard)
	flags.Usage = func() {}
	run := c.setup(flags)
	err := flags.Parse(args)
	if errors.Is(err, flag.ErrHelp) {
		t.print("%s", help(c))
		return nil
	}
	hint := fmt.Sprintf("run 'intuno %s --help'", c.path)
	if err != nil {
		text := strings.Replace(err.Error(), "flag provided but not defined: -", "unknown flag --", 1)
		return usageError{text, hint}
	}
	if flags.NArg() > 0 && c.path != "help" {
		return usageError{fmt.Sprintf("unexpected argument %q", flags.Arg(0)), hint}
	}
	err = run(ctx, t)
	var usage usageError
	if errors.As(err, &usage) && usage.hint == "" {
		usage.hint = hint
		return usage
	}
	return err
}

// A terminal that cannot be written to cannot be told so either.
func (t *terminal) print(format string, args ...any)    { _, _ = fmt.Fprintf(t.out, format, args...) }
func (t *terminal) printErr(format string, args ...any) { _, _ = fmt.Fprintf(t.err, format, args...) }
