package store

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
)

// ratesPerStatement bounds the parameters of one upsert: three per bucket.
const ratesPerStatement = 200

// AddRates adds counts to the window that starts at start (Unix seconds) and
// returns the totals of all nodes. Older windows are forgotten. It implements
// httpx.LimitStore. The statement is built by hand because its number of rows
// varies; sorted buckets keep two nodes from locking each other out.
func (s *Store) AddRates(ctx context.Context, start int64, counts map[string]int64) (map[string]int64, error) {
	totals := make(map[string]int64, len(counts))
	for buckets := range slices.Chunk(slices.Sorted(maps.Keys(counts)), ratesPerStatement) {
		var rows []string
		var args []any
		for i, bucket := range buckets {
			rows = append(rows, fmt.Sprintf("($%d, $%d, $%d)", 3*i+1, 3*i+2, 3*i+3))
			args = append(args, bucket, start, counts[bucket])
		}
		if err := s.addRates(ctx, strings.Join(rows, ", "), args, totals); err != nil {
			return nil, fmt.Errorf("share rate limits: %w", err)
		}
	}
	if _, err := s.db.Write().ExecContext(ctx, "DELETE FROM rate_counts WHERE window_s < $1", start); err != nil {
		return nil, fmt.Errorf("forget old rate limits: %w", err)
	}
	return totals, nil
}

func (s *Store) addRates(ctx context.Context, values string, args []any, totals map[string]int64) error {
	rows, err := s.db.Write().QueryContext(ctx, "INSERT INTO rate_counts (bucket, window_s, count) VALUES "+values+
		" ON CONFLICT (bucket, window_s) DO UPDATE SET count = rate_counts.count + excluded.count RETURNING bucket, count", args...)
	if err != nil {
		return err
	}
	defer rows.Close()
	for rows.Next() {
		var bucket string
		var total int64
		if err := rows.Scan(&bucket, &total); err != nil {
			return err
		}
		totals[bucket] = total
	}
	return rows.Err()
}
