package brain

import (
	"context"
	"fmt"
	"regexp"
	"strings"
	"time"

	"github.com/go-json-experiment/json"

	"github.com/IntunoAI/intuno-go/internal/agents/entity"
	"github.com/IntunoAI/intuno-go/internal/agents/memory"
	"github.com/IntunoAI/intuno-go/internal/clock"
	"github.com/IntunoAI/intuno-go/internal/fault"
)

// Memories is what the router needs of package memory.
type Memories interface {
	Put(ctx context.Context, of memory.Of, key, value string, by memory.Source) (memory.Memory, bool, error)
	Get(ctx context.Context, of memory.Of, key string) (memory.Memory, error)
	List(ctx context.Context, of memory.Of, q memory.Query) ([]memory.Memory, error)
	Delete(ctx context.Context, of memory.Of, key string) error
}

// Router follows the commands of contract §11.1, and lets agents answer what is none. It
// needs no model.
type Router struct {
	Memories Memories
	Now      clock.Now
	Network  Network
	// MaxDistance is the largest distance of an agent that is asked.
	MaxDistance float64
	// Reserve is the part of a turn's time that is left for the reply.
	Reserve time.Duration
}

var _ Brain = (*Router)(nil)

// The commands, case-insensitive, white space around them ignored. A key is on one
// line; a value may have several.
var (
	rememberCommand = regexp.MustCompile(`(?is)^remember\s+([^:=\r\n]*[^:=\s])\s*[:=]\s*(\S.*)$`)
	recallCommand   = regexp.MustCompile(`(?i)^recall(?:\s+(\S.*))?$`)
	forgetCommand   = regexp.MustCompile(`(?i)^forget\s+(\S.*)$`)
	timeCommand     = regexp.MustCompile(`(?i)^(?:time|what\s+time\s+is\s+it)\s*[?.!]*$`)
)

// The functions that the router calls (contract §11.3).
const (
	remember = "remember"
	recall   = "recall"
	forget   = "forget"
	now      = "now"
)

// Turn implements Brain.
func (r *Router) Turn(ctx context.Context, t Turn, out Sink) error {
	text := strings.TrimSpace(t.Content)
	var reply string
	var err error
	switch {
	case timeCommand.MatchString(text):
		reply, err = r.time(ctx, t, out)
	case rememberCommand.MatchString(text):
		m := rememberCommand.FindStringSubmatch(text)
		reply, err = withKey(t, m[1], func(key string) (string, error) { return r.remember(ctx, t, out, key, m[2]) })
	case recallCommand.MatchString(text):
		m := recallCommand.FindStringSubmatch(text)
		if m[1] == "" {
			reply, err = r.keys(ctx, t, out)
			break
		}
		reply, err = withKey(t, m[1], func(key string) (string, error) { return r.recall(ctx, t, out, key) })
	case forgetCommand.MatchString(text):
		m := forgetCommand.FindStringSubmatch(text)
		reply, err = withKey(t, m[1], func(key string) (string, error) { return r.forget(ctx, t, out, key) })
	default:
		reply, err = r.ask(ctx, t, out, text)
	}
	if err != nil {
		return err
	}
	return out.Say(ctx, reply)
}

// noMemory says why the entity may not use its memory, or "".
func noMemory(e entity.Entity) string {
	switch {
	case !e.Allows(entity.ToolMemory):
		return "I am not allowed to do that: my tools do not include \"memory\"."
	case !e.MemoryEnabled:
		return "I am not allowed to do that: my memory is switched off."
	}
	return ""
}

// withKey checks the permission, then makes a key of the text.
func withKey(t Turn, text string, do func(key string) (string, error)) (string, error) {
	if reply := noMemory(t.Entity); reply != "" {
		return reply, nil
	}
	key := memory.Slug(text)
	if key == "" {
		return "I need a name with a letter from a to z or a digit for that.", nil
	}
	return do(key)
}

// step emits the call of a function, runs it, and emits its result. Faults of the
// function are its result and come back as refusal; other errors end the turn.
func step(ctx context.Context, out Sink, function string, arguments map[string]any, run func() (summary string, err error)) (refusal *fault.Error, err error) {
	text, err := json.Marshal(arguments, json.Deterministic(true))
	if err != nil {
		return nil, fmt.Errorf("encode the arguments of %s: %w", function, err)
	}
	call, err := out.Call(ctx, function, text)
	if err != nil {
		return nil, err
	}
	summary, err := run()
	if refusal = fault.As(err); err != nil && refusal == nil {
		return nil, fmt.Errorf("%s: %w", function, err)
	}
	if refusal != nil {
		summary = refusalText(refusal)
	}
	return refusal, out.Result(ctx, call, refusal == nil, summary)
}

func refusalText(f *fault.Error) string {
	if len(f.Problems) > 0 {
		return f.Problems[0].Msg
	}
	return f.Detail
}

func (r *Router) remember(ctx context.Context, t Turn, out Sink, key, value string) (string, error) {
	reply := ""
	refusal, err := step(ctx, out, remember, map[string]any{"key": key, "value": value}, func() (string, error) {
		_, isNew, err := r.Memories.Put(ctx, t.Memories(), key, value, memory.ByEntity)
		if isNew {
			reply = fmt.Sprintf("I will remember %s.", key)
			return "stored", err
		}
		reply = fmt.Sprintf("I will remember the new %s.", key)
		return "replaced", err
	})
	if refusal != nil {
		reply = fmt.Sprintf("I cannot remember %s: %s.", key, refusalText(refusal))
	}
	return reply, err
}

func (r *Router) recall(ctx context.Context, t Turn, out Sink, key string) (string, error) {
	reply := ""
	refusal, err := step(ctx, out, recall, map[string]any{"key": key}, func() (string, error) {
		m, err := r.Memories.Get(ctx, t.Memories(), key)
		reply = m.Value
		return m.Value, err
	})
	if refusal != nil {
		reply = fmt.Sprintf("I remember nothing about %s.", key)
	}
	return reply, err
}

// keys lists what the entity remembers, as far as a reply can hold it.
func (r *Router) keys(ctx context.Context, t Turn, out Sink) (string, error) {
	if reply := noMemory(t.Entity); reply != "" {
		return reply, nil
	}
	var keys []string
	refusal, err := step(ctx, out, recall, map[string]any{}, func() (string, error) {
		q := memory.Query{Limit: 200}
		for {
			page, err := r.Memories.List(ctx, t.Memories(), q)
			if err != nil || len(page) == 0 {
				return fmt.Sprintf("%d keys", len(keys)), err
			}
			for _, m := range page {
				keys = append(keys, m.Key)
			}
			q.After = keys[len(keys)-1]
		}
	})
	switch {
	case err != nil:
		return "", err
	case refusal != nil:
		return refusalText(refusal), nil
	case len(keys) == 0:
		return "I remember nothing yet.", nil
	}
	return listKeys(keys), nil
}

// maxKeyList leaves room in a reply of at most 65536 characters for the last line.
const maxKeyList = 65000

func listKeys(keys []string) string {
	var b strings.Builder
	b.WriteString("I remember:")
	for i, key := range keys {
		if b.Len()+len(key) > maxKeyList {
			fmt.Fprintf(&b, "\nand %d more", len(keys)-i)
			break
		}
		b.WriteString("\n" + key)
	}
	return b.String()
}

// forget confirms also when there was nothing to forget.
func (r *Router) forget(ctx context.Context, t Turn, out Sink, key string) (string, error) {
	refusal, err := step(ctx, out, forget, map[string]any{"key": key}, func() (string, error) {
		err := r.Memories.Delete(ctx, t.Memories(), key)
		if fault.Is(err, fault.NotFound) {
			return "there was nothing to forget", nil
		}
		return "forgotten", err
	})
	if refusal != nil {
		return refusalText(refusal), err
	}
	return fmt.Sprintf("I have forgotten %s.", key), err
}

func (r *Router) time(ctx context.Context, t Turn, out Sink) (string, error) {
	if !t.Entity.Allows(entity.ToolClock) {
		return "I am not allowed to do that: my tools do not include \"clock\".", nil
	}
	at := r.Now().UTC()
	_, err := step(ctx, out, now, map[string]any{}, func() (string, error) { return at.Format(time.RFC3339), nil })
	return at.Format("It is 15:04:05 UTC on 2 January 2006."), err
}
