package broker

import (
	"bytes"
	"context"
	"fmt"
	"strings"
	"time"
)

const (
	// streamIdle and streamTime are how long a streaming agent may be silent, and how
	// long it may talk (contract §5.5).
	streamIdle = 30 * time.Second
	streamTime = 300 * time.Second
)

// Events sends calls to agents that answer with an event stream (contract §5.5).
type Events struct{ sender Sender }

var _ Target = Events{}

// NewEvents returns the target.
func NewEvents(sender Sender) Events { return Events{sender} }

// Send implements Target: each data line is one chunk. The reply's text is what the
// chunks say, and its body {"text": ...} the same, or nothing if they say nothing.
//
// An agent that answers with a whole instead of events is understood: its answer is the
// body of the reply and, if it is a success that says anything, the only chunk.
func (t Events) Send(ctx context.Context, c Call, emit func([]byte) error) (Reply, error) {
	in := &incoming{emit: emit}
	status, body, err := t.sender.Stream(ctx, Outgoing{URL: endpoint(c), Header: c.Header("text/event-stream"), Body: c.Input,
		Idle: streamIdle, MaxBody: maxAnswer}, in.feed)
	if err == nil {
		err = in.end()
	}
	if err != nil {
		return Reply{}, fmt.Errorf("ask an agent for a stream: %w", err)
	}
	if status < 200 || status > 299 {
		return Reply{Status: status, Body: body}, nil
	}
	if in.eventStream() {
		reply := Reply{Status: status, Text: in.said.String()}
		if reply.Text != "" {
			reply.Body = textObject(reply.Text)
		}
		return reply, nil
	}
	reply := Reply{Status: status, Body: in.whole.Bytes()}
	if whole := resultOf(reply, nil); whole.Success && len(reply.Body) > 0 {
		if err := emit(whole.Data); err != nil {
			return Reply{}, fmt.Errorf("hand an answer over: %w", err)
		}
	}
	return reply, nil
}

// incoming is an answer that may be an event stream, as it comes.
type incoming struct {
	lines  lines
	emit   func([]byte) error
	said   strings.Builder
	whole  bytes.Buffer // what came before the first data line
	data   bool         // a data line was seen
	fields bool         // a line that only an event stream has was seen
	others bool         // a line that means nothing in an event stream was seen
}

// eventStream tells what the answer was. Without data, a line that means nothing in an
// event stream makes it a whole.
func (in *incoming) eventStream() bool { return in.data || in.fields && !in.others }

func (in *incoming) feed(piece []byte) error {
	if !in.data {
		in.whole.Write(piece)
	}
	return in.lines.feed(piece, in.line)
}

// end is the end of the answer. What is behind the last line end counts as a line.
func (in *incoming) end() error { return in.lines.end(in.line) }

// line takes one line (WHATWG HTML §9.2.6).
func (in *incoming) line(line []byte) error {
	raw, ok := bytes.CutPrefix(line, []byte("data:"))
	switch {
	case !ok && eventField(line):
		in.fields = true
		return nil
	case !ok:
		in.others = true
		return nil
	}
	in.data, in.whole = true, bytes.Buffer{}
	chunk := chunkOf(bytes.TrimPrefix(raw, []byte(" ")))
	in.said.WriteString(firstString(chunk, said, notEmpty))
	return in.emit(chunk)
}

// said are the members of a chunk that carry text (contract §5.5).
var said = []string{"text", "delta", "content"}

func notEmpty(s string) bool { return s != "" }

// eventField tells whether a line without data belongs to an event stream.
func eventField(line []byte) bool {
	for _, field := range []string{":", "event:", "id:", "retry:"} {
		if bytes.HasPrefix(line, []byte(field)) {
			return true
		}
	}
	return false
}

// chunkOf is the JSON that a data line is, on one line; if it is none, {"text": raw}.
func chunkOf(raw []byte) []byte {
	if value, err := compact(raw); err == nil {
		return value
	}
	return textObject(string(raw))
}

// lines cuts what comes in pieces into lines that end with CR, LF or both. A line is
// handed over as soon as its end is seen.
type lines struct {
	rest    []byte // of a line that has not ended
	started bool   // the byte order mark was looked for
	cr      bool   // the last line ended with CR: an LF that follows belongs to it
}

var byteOrderMark = []byte("\uFEFF")

func (l *lines) feed(piece []byte, take func(line []byte) error) error {
	for len(piece) > 0 {
		if l.cr && piece[0] == '\n' {
			piece = piece[1:]
		}
		l.cr = false
		i := bytes.IndexAny(piece, "\r\n")
		if i < 0 {
			l.rest = append(l.rest, piece...)
			return nil
		}
		l.rest = append(l.rest, piece[:i]...)
		l.cr = piece[i] == '\r'
		piece = piece[i+1:]
		if err := l.end(take); err != nil {
			return err
		}
	}
	return nil
}

// end hands over the line that is being read, unless it is empty.
func (l *lines) end(take func(line []byte) error) error {
	line := l.rest
	l.rest = l.rest[:0]
	if !l.started {
		line, l.started = bytes.TrimPrefix(line, byteOrderMark), true
	}
	if len(line) == 0 {
		return nil
	}
	return take(line)
}
