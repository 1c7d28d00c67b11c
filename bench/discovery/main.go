// Command discovery measures how well discovery finds the right agent. It registers the
// agents of a data set with the real service, asks the real service every query of the
// set, and prints recall, reciprocal rank and cumulative gain beside two baselines: a
// full-text search with stems and stop words, and the full sentence model that the
// built-in table was distilled from.
//
// The data is a folder with agents.jsonl ({"name", "description"} a line) and
// queries.jsonl ({"query", "agent"} a line; agent is the name of the right one).
package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"math"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"slices"
	"strings"
)

func main() {
	data := flag.String("data", "", "folder with agents.jsonl and queries.jsonl")
	model := flag.String("model", "tools/distill/evaluate.sh", "command that prints the full model's figures as JSON; empty: leave it out")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if err := run(ctx, *data, *model); err != nil {
		fmt.Fprintln(os.Stderr, "discovery:", err)
		os.Exit(1)
	}
}

type agent struct{ Name, Description string }

type question struct{ Query, Agent string }

func run(ctx context.Context, data, model string) error {
	if data == "" {
		return errors.New("-data is required: make bench-discovery DATA=folder")
	}
	agents, err := readLines[agent](filepath.Join(data, "agents.jsonl"))
	if err != nil {
		return err
	}
	questions, err := readLines[question](filepath.Join(data, "queries.jsonl"))
	if err != nil {
		return err
	}
	fmt.Printf("%d agents, %d queries\n\n", len(agents), len(questions))
	fmt.Printf("%-34s %9s %9s %9s %9s %9s\n", "ranker", "recall@1", "recall@5", "recall@10", "MRR@10", "nDCG@10")

	words, err := newFullText(ctx, agents)
	if err != nil {
		return err
	}
	defer words.close()
	strong, err := judge(ctx, questions, words.search)
	if err != nil {
		return err
	}
	strong.print("strong BM25 (SQLite FTS5)")

	service, err := newService(ctx, agents)
	if err != nil {
		return err
	}
	defer service.close()
	alone, err := judge(ctx, questions, service.searchBy("similarity_only"))
	if err != nil {
		return err
	}
	alone.print("embedding alone")
	ours, err := judge(ctx, questions, service.searchBy("balanced"))
	if err != nil {
		return err
	}
	ours.print("ours (rank_by=balanced)")
	ours.against("strong BM25", strong, 0.05)
	if model == "" {
		return nil
	}
	full, err := fullModel(ctx, model, data)
	if err != nil {
		return err
	}
	full.print("full MiniLM")
	ours.against("full MiniLM", full, 0.02)
	best := figures{Recall5: max(strong.Recall5, full.Recall5), NDCG10: max(strong.NDCG10, full.NDCG10)}
	ours.against("the better of both", best, 0.02)
	return nil
}

func readLines[T any](path string) ([]T, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	var list []T
	lines := bufio.NewScanner(f)
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		if strings.TrimSpace(lines.Text()) == "" {
			continue
		}
		var item T
		if err := json.Unmarshal(lines.Bytes(), &item); err != nil {
			return nil, fmt.Errorf("%s: %w", path, err)
		}
		list = append(list, item)
	}
	return list, lines.Err()
}

// figures are means over all queries; each query has one right agent.
type figures struct {
	Recall1  float64 `json:"recall@1"`
	Recall5  float64 `json:"recall@5"`
	Recall10 float64 `json:"recall@10"`
	MRR10    float64 `json:"mrr@10"`
	NDCG10   float64 `json:"ndcg@10"`
}

// judge asks search, which returns names, best first, every question.
func judge(ctx context.Context, questions []question, search func(context.Context, string) ([]string, error)) (figures, error) {
	var f figures
	for _, q := range questions {
		names, err := search(ctx, q.Query)
		if err != nil {
			return f, err
		}
		rank := slices.Index(names, q.Agent) + 1
		if rank == 0 || rank > 10 {
			continue
		}
		f.Recall10++
		f.MRR10 += 1 / float64(rank)
		f.NDCG10 += 1 / math.Log2(float64(rank)+1) // the ideal gain is 1: one right agent
		if rank <= 5 {
			f.Recall5++
		}
		if rank == 1 {
			f.Recall1++
		}
	}
	n := float64(len(questions))
	return figures{f.Recall1 / n, f.Recall5 / n, f.Recall10 / n, f.MRR10 / n, f.NDCG10 / n}, nil
}

func (f figures) print(name string) {
	fmt.Printf("%-34s %9.3f %9.3f %9.3f %9.3f %9.3f\n", name, f.Recall1, f.Recall5, f.Recall10, f.MRR10, f.NDCG10)
}

func (f figures) against(name string, other figures, target float64) {
	fmt.Printf("  ours above %-20s recall@5 %+.3f, nDCG@10 %+.3f (target %+.2f in both)\n", name, f.Recall5-other.Recall5, f.NDCG10-other.NDCG10, target)
}

// fullModel lets the script that distilled the table judge the model it came from.
func fullModel(ctx context.Context, command, data string) (figures, error) {
	cmd := exec.CommandContext(ctx, command, "--data", data, "--json")
	cmd.Stderr = os.Stderr
	out, err := cmd.StdoutPipe()
	if err != nil {
		return figures{}, err
	}
	if err := cmd.Start(); err != nil {
		return figures{}, err
	}
	text, err := io.ReadAll(out)
	if err = errors.Join(err, cmd.Wait()); err != nil {
		return figures{}, fmt.Errorf("%s: %w", command, err)
	}
	var all map[string]figures
	if err := json.Unmarshal(text, &all); err != nil {
		return figures{}, fmt.Errorf("%s: %w", command, err)
	}
	f, ok := all["full MiniLM"]
	if !ok {
		return figures{}, fmt.Errorf("%s tells nothing of the full MiniLM", command)
	}
	return f, nil
}
