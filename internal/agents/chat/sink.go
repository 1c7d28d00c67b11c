package chat

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"sync"
	"unicode/utf8"

	"github.com/IntunoAI/intuno-go/internal/id"
)

var errEnded = errors.New("the turn has ended")

// sink turns what a brain does into events and the reply. What was said is what was
// kept: the reply is the text of the deltas.
type sink struct {
	service *Service
	run     *run

	mu    sync.Mutex
	err   error // the turn is over, or an event was not kept
	reply strings.Builder
	chars int
	calls []ToolCall
	open  []string // calls without a result
}

// Say implements brain.Sink.
func (o *sink) Say(ctx context.Context, text string) error {
	o.mu.Lock()
	defer o.mu.Unlock()
	text = firstChars(clean(text), MaxReply-o.chars)
	if text == "" {
		return o.err
	}
	if err := o.emit(ctx, Delta{Message: o.run.Message, Text: text}); err != nil {
		return err
	}
	o.reply.WriteString(text)
	o.chars += utf8.RuneCountInString(text)
	return nil
}

// Call implements brain.Sink.
func (o *sink) Call(ctx context.Context, function string, arguments []byte) (string, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	call := "t" + strconv.Itoa(len(o.calls)+1)
	if err := o.emit(ctx, Called{Message: o.run.Message, Call: call, Tool: function, Arguments: arguments}); err != nil {
		return "", err
	}
	o.calls = append(o.calls, ToolCall{ID: call, Tool: function})
	o.open = append(o.open, call)
	return call, nil
}

// Result implements brain.Sink.
func (o *sink) Result(ctx context.Context, call string, ok bool, summary string) error {
	o.mu.Lock()
	defer o.mu.Unlock()
	i := slices.IndexFunc(o.calls, func(c ToolCall) bool { return c.ID == call })
	if !slices.Contains(o.open, call) {
		return fmt.Errorf("call %q is not open", call)
	}
	if err := o.emit(ctx, Resulted{Message: o.run.Message, Call: call, Tool: o.calls[i].Tool, OK: ok,
		Summary: firstChars(clean(summary), MaxSummary)}); err != nil {
		return err
	}
	o.calls[i].OK = ok
	o.open = slices.DeleteFunc(o.open, func(c string) bool { return c == call })
	return nil
}

// emit keeps an event, then wakes the readers. Once an event could not be kept the
// turn cannot complete: readers would miss it. The caller holds the lock.
func (o *sink) emit(ctx context.Context, p Payload) error {
	if o.err != nil {
		return o.err
	}
	event, err := o.service.event(p)
	if err == nil {
		_, err = o.service.store.AppendEvent(ctx, o.run.Holder, event)
	}
	if err != nil {
		o.err = fmt.Errorf("keep event %s: %w", p.event(), err)
		if errors.Is(err, ErrLost) {
			o.run.cancel(ErrLost)
		}
		return o.err
	}
	o.service.hub.wake(o.run.Message)
	return nil
}

// close ends the sink. It returns why the turn cannot be completed, if so.
func (o *sink) close() error {
	o.mu.Lock()
	defer o.mu.Unlock()
	err := o.err
	o.err = errEnded
	return err
}

// result is what the entity answered, under a new id.
func (o *sink) result() Reply {
	return Reply{ID: id.New[id.Message](), Content: o.reply.String(), ToolCalls: o.calls}
}

// clean makes text that every engine can keep: valid UTF-8 without U+0000.
func clean(text string) string {
	return strings.ReplaceAll(strings.ToValidUTF8(text, "\ufffd"), "\x00", "")
}

// firstChars is the beginning of text, at most n characters.
func firstChars(text string, n int) string {
	if len(text) <= n {
		return text
	}
	for i := range text {
		if n == 0 {
			return text[:i]
		}
		n--
	}
	return text
}
