package main

import (
	"context"
	"database/sql"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"

	_ "modernc.org/sqlite" // the engine of the baseline
)

// fullText is the strong baseline: SQLite's FTS5 with the Porter stemmer, names split
// at capitals and weighing 2, stop words left out of the query, the rest joined by OR.
type fullText struct {
	db   *sql.DB
	path string
}

func newFullText(ctx context.Context, agents []agent) (*fullText, error) {
	dir, err := os.MkdirTemp("", "intuno-bench-")
	if err != nil {
		return nil, err
	}
	db, err := sql.Open("sqlite", filepath.Join(dir, "words.db"))
	if err != nil {
		return nil, err
	}
	f := &fullText{db, dir}
	if _, err := db.ExecContext(ctx, "CREATE VIRTUAL TABLE agents USING fts5(agent UNINDEXED, name, description, tokenize = 'porter unicode61')"); err != nil {
		return nil, fmt.Errorf("create the baseline: %w", err)
	}
	for _, a := range agents {
		if _, err := db.ExecContext(ctx, "INSERT INTO agents VALUES ($1, $2, $3)", a.Name, capitals.ReplaceAllString(a.Name, "$1 $2"), a.Description); err != nil {
			return nil, fmt.Errorf("fill the baseline: %w", err)
		}
	}
	return f, nil
}

func (f *fullText) close() {
	_ = f.db.Close()
	_ = os.RemoveAll(f.path)
}

var (
	capitals = regexp.MustCompile(`([a-z0-9])([A-Z])`)
	letters  = regexp.MustCompile(`[a-z0-9]+`)
)

const stopWords = " a about all am an and any are as at be been but by can could do does for from get give had has have help how i if in is it its " +
	"like looking me my need of on one or please provide should some tell that the their them there these this to us want was we what when where which who will with would you your "

func (f *fullText) search(ctx context.Context, text string) ([]string, error) {
	var terms []string
	for _, word := range letters.FindAllString(strings.ToLower(text), -1) {
		if !strings.Contains(stopWords, " "+word+" ") {
			terms = append(terms, `"`+word+`"`)
		}
	}
	if terms == nil {
		return nil, nil
	}
	rows, err := f.db.QueryContext(ctx, "SELECT agent FROM agents WHERE agents MATCH $1 ORDER BY bm25(agents, 0, 2, 1), agent LIMIT 10", strings.Join(terms, " OR "))
	if err != nil {
		return nil, fmt.Errorf("search the baseline: %w", err)
	}
	defer rows.Close()
	var names []string
	for rows.Next() {
		var name string
		if err := rows.Scan(&name); err != nil {
			return nil, err
		}
		names = append(names, name)
	}
	return names, rows.Err()
}
