package cli

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io/fs"
	"maps"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/IntunoAI/intuno-go/internal/id"
	"github.com/IntunoAI/intuno-go/internal/secret"
	"github.com/IntunoAI/intuno-go/internal/sqldb"
	"github.com/IntunoAI/intuno-go/internal/wisdom"
	"github.com/IntunoAI/intuno-go/internal/wisdom/auth"
	"github.com/IntunoAI/intuno-go/internal/wisdom/store"
)

// databaseFlags say which database the operator means.
type databaseFlags struct{ url, data string }

func (d *databaseFlags) declare(flags *flag.FlagSet) {
	flags.StringVar(&d.url, "database", "", "`URL` of wisdom's database, postgres://… or sqlite:PATH (default DATABASE_URL, else DIR/wisdom.db)")
	flags.StringVar(&d.data, "data", "", "`DIR` of the data of serve (default DATA_DIR, else ./data)")
}

const adminAbout = `

It works on the database itself, also while the service runs, which notices within a
second. The database is found as the service finds it: DATABASE_URL, else wisdom.db in
DATA_DIR; --database names another.`

// withUsers opens wisdom's database as it is and runs fn with the account rules on
// it. A command never creates or migrates a database: the service does.
func (t *terminal) withUsers(ctx context.Context, d databaseFlags, fn func(*auth.Service) error) (err error) {
	vars := maps.Clone(t.vars)
	withFlag(vars, "DATA_DIR", d.data)
	if d.data != "" {
		delete(vars, "DATABASE_URL") // --data names a database too, and flags win
	}
	withFlag(vars, "DATABASE_URL", d.url)
	cfg, _ := wisdom.ParseConfig(vars)
	url := cfg.DatabaseURL
	db, err := sqldb.Open(ctx, sqldb.Options{URL: url.Reveal(), Migrations: store.Migrations(), Service: "wisdom", NoMigrate: true})
	if err != nil {
		return noDatabase(err, url)
	}
	defer func() { err = errors.Join(err, db.Close()) }()
	if err := db.CheckVersion(ctx); err != nil {
		return err
	}
	return fn(auth.New(store.New(db), auth.Config{}))
}

// noDatabase adds what to do when there is no database yet.
func noDatabase(err error, url secret.String) error {
	if errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("there is no database %s yet: start the service once, or name another with --database or --data", sqldb.Redact(url.Reveal()))
	}
	return err
}

// refFlags say which user the operator means.
type refFlags struct{ id, email string }

func (r *refFlags) declare(flags *flag.FlagSet) {
	flags.StringVar(&r.email, "email", "", "`ADDRESS` of the user, in any case")
	flags.StringVar(&r.id, "id", "", "`UUID` of the user, instead of --email")
}

func (r *refFlags) ref() (auth.Ref, error) {
	if (r.id == "") == (r.email == "") {
		return auth.Ref{}, usageError{text: "name the user by --email or by --id"}
	}
	if r.id == "" {
		return auth.Ref{Email: r.email}, nil
	}
	user, ok := id.Parse[id.User](r.id)
	if !ok {
		return auth.Ref{}, usageError{text: "--id must be a UUID with hyphens"}
	}
	return auth.Ref{ID: user}, nil
}

// change is a command that alters one user and shows the user after it.
func change(path, summary, about, example string, more func(*flag.FlagSet) func(context.Context, *auth.Service, auth.Ref) (auth.User, error)) command {
	return command{
		path: path, summary: summary, about: about + adminAbout, example: example,
		setup: func(flags *flag.FlagSet) func(context.Context, *terminal) error {
			var d databaseFlags
			var r refFlags
			d.declare(flags)
			r.declare(flags)
			apply := more(flags)
			return func(ctx context.Context, t *terminal) error {
				ref, err := r.ref()
				if err != nil {
					return err
				}
				return t.withUsers(ctx, d, func(users *auth.Service) error {
					u, err := apply(ctx, users, ref)
					if err != nil {
						return err
					}
					return t.table(u)
				})
			}
		},
	}
}

func usersActiveCommand(active bool) command {
	path, summary := "admin users deactivate", "lock a user out"
	about := "Deactivate a user: tokens and API keys stop working within a second, on every node.\nNothing of the user's is deleted."
	if active {
		path, summary = "admin users activate", "let a user in again"
		about = "Activate a user again. API keys work as before; tokens do not, the user signs in anew."
	}
	return change(path, summary, about, "intuno "+path+" --email ada@example.org",
		func(*flag.FlagSet) func(context.Context, *auth.Service, auth.Ref) (auth.User, error) {
			return func(ctx context.Context, s *auth.Service, r auth.Ref) (auth.User, error) {
				return s.SetActive(ctx, r, active)
			}
		})
}

func usersPlanCommand() command {
	return change("admin users set-plan", "change what a user may do",
		"Set the plan of a user: free or pro. It decides how many entities and messages the\nuser may have. A lower plan deletes nothing.",
		"intuno admin users set-plan --email ada@example.org --plan pro",
		func(flags *flag.FlagSet) func(context.Context, *auth.Service, auth.Ref) (auth.User, error) {
			plan := flags.String("plan", "", "`PLAN`: free or pro")
			return func(ctx context.Context, s *auth.Service, r auth.Ref) (auth.User, error) {
				p := auth.Plan(*plan)
				if p != auth.Free && p != auth.Pro {
					return auth.User{}, usageError{text: "--plan must be free or pro"}
				}
				return s.SetPlan(ctx, r, p)
			}
		})
}

func usersAdminCommand() command {
	return change("admin users grant-admin", "give the admin flag, or take it away",
		"Make a user an administrator: the routes under /admin then accept the user's tokens\n(never API keys). No route can give this flag.",
		"intuno admin users grant-admin --email ada@example.org",
		func(flags *flag.FlagSet) func(context.Context, *auth.Service, auth.Ref) (auth.User, error) {
			revoke := flags.Bool("revoke", false, "take the flag away instead")
			return func(ctx context.Context, s *auth.Service, r auth.Ref) (auth.User, error) {
				return s.GrantAdmin(ctx, r, !*revoke)
			}
		})
}

func usersListCommand() command {
	return command{
		path: "admin users list", summary: "list all users",
		about:   "List every user, oldest first." + adminAbout,
		example: "intuno admin users list --database postgres://intuno@db.internal/wisdom",
		setup: func(flags *flag.FlagSet) func(context.Context, *terminal) error {
			var d databaseFlags
			d.declare(flags)
			asJSON := flags.Bool("json", false, "print one JSON object a line")
			return func(ctx context.Context, t *terminal) error {
				return t.withUsers(ctx, d, func(users *auth.Service) error {
					show := t.table
					if *asJSON {
						show = t.jsonLines
					}
					return everyUser(ctx, users, show)
				})
			}
		},
	}
}

// everyUser shows all users, page by page; without any it shows an empty page.
func everyUser(ctx context.Context, users *auth.Service, show func(...auth.User) error) error {
	const page = 500
	var all []auth.User
	var after auth.Cursor
	for {
		list, err := users.ListUsers(ctx, after, page)
		if err != nil {
			return err
		}
		all = append(all, list...)
		if len(list) < page {
			return show(all...)
		}
		last := list[len(list)-1]
		after = auth.Cursor{Created: last.Created, ID: last.ID}
	}
}

func usersCreateCommand() command {
	return command{
		path: "admin users create", summary: "create a user",
		about: `Create a user, also while registration is closed. The password is the first line of
standard input with --password-stdin; without it one is made and printed, once.` + adminAbout,
		example: "intuno admin users create --email ada@example.org --plan pro",
		setup: func(flags *flag.FlagSet) func(context.Context, *terminal) error {
			var d databaseFlags
			var n newUser
			d.declare(flags)
			flags.StringVar(&n.email, "email", "", "`ADDRESS` of the new user")
			flags.StringVar(&n.first, "first-name", "", "`NAME`")
			flags.StringVar(&n.last, "last-name", "", "`NAME`")
			flags.StringVar(&n.plan, "plan", "free", "`PLAN`: free or pro (default free)")
			flags.BoolVar(&n.stdin, "password-stdin", false, "read the password from the first line of standard input")
			return func(ctx context.Context, t *terminal) error {
				if n.email == "" {
					return usageError{text: "--email is required"}
				}
				if n.plan != string(auth.Free) && n.plan != string(auth.Pro) {
					return usageError{text: "--plan must be free or pro"}
				}
				return t.withUsers(ctx, d, func(users *auth.Service) error { return t.createUser(ctx, users, n) })
			}
		},
	}
}

type newUser struct {
	email, first, last, plan string
	stdin                    bool
}

func (t *terminal) createUser(ctx context.Context, users *auth.Service, n newUser) error {
	password := randomSecret()
	if n.stdin {
		line, err := bufio.NewReader(t.in).ReadString('\n')
		if line == "" && err != nil {
			return fmt.Errorf("read the password from standard input: %w", err)
		}
		password = strings.TrimRight(line, "\r\n")
	}
	u, err := users.CreateUser(ctx, auth.NewUser{Email: n.email, Password: password, FirstName: optional(n.first), LastName: optional(n.last)})
	if err != nil {
		return err
	}
	if n.plan != string(u.Plan) {
		if u, err = users.SetPlan(ctx, auth.Ref{ID: u.ID}, auth.Plan(n.plan)); err != nil {
			return fmt.Errorf("the user was created, but the plan was not set: %w", err)
		}
	}
	if err := t.table(u); err != nil {
		return err
	}
	if !n.stdin {
		t.print("\npassword: %s\nIt is not shown again.\n", password)
	}
	return nil
}

func optional(s string) *string {
	if s == "" {
		return nil
	}
	return &s
}

// table prints users in columns.
func (t *terminal) table(users ...auth.User) error {
	w := tabwriter.NewWriter(t.out, 0, 0, 2, ' ', 0)
	_, _ = fmt.Fprintln(w, "ID\tEMAIL\tPLAN\tACTIVE\tADMIN\tCREATED") // Flush reports a failed write
	for _, u := range users {
		_, _ = fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\t%s\n", u.ID, u.Email, u.Plan, yes(u.Active), yes(u.Admin), u.Created.Format("2006-01-02 15:04:05"))
	}
	return w.Flush()
}

func yes(b bool) string {
	if b {
		return "yes"
	}
	return "no"
}

// userLine is a user as a program reads it.
type userLine struct {
	ID        id.User   `json:"id"`
	Email     string    `json:"email"`
	FirstName *string   `json:"first_name"`
	LastName  *string   `json:"last_name"`
	Active    bool      `json:"is_active"`
	Admin     bool      `json:"is_admin"`
	Plan      auth.Plan `json:"plan"`
	Created   time.Time `json:"created_at"`
	Updated   time.Time `json:"updated_at"`
}

// jsonLines prints users for a program.
func (t *terminal) jsonLines(users ...auth.User) error {
	encoder := json.NewEncoder(t.out)
	for _, u := range users {
		if err := encoder.Encode(userLine(u)); err != nil {
			return fmt.Errorf("print user: %w", err)
		}
	}
	return nil
}
