package intuno

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"iter"
	"mime"
	"net/http"
	"strconv"
	"sync"
	"time"
)

// silence is the longest wait for the next byte of a stream: the server sends a comment
// every 15 s.
const silence = time.Minute

var (
	errSilent = fmt.Errorf("no byte for %v: %w", silence, context.DeadlineExceeded)
	errOpen   = fmt.Errorf("no answer in time: %w", context.DeadlineExceeded)
	errClosed = errors.New("intuno: the stream is closed")
)

// feed is the body of an answer that is read while it arrives.
type feed struct {
	ctx    context.Context // of the request
	cancel context.CancelCauseFunc
	watch  *time.Timer
	body   io.ReadCloser
	media  string
}

// open sends r once and returns the answer's body.
func (c *Client) open(ctx context.Context, r *request) (*feed, error) {
	ctx, cancel := context.WithCancelCause(ctx)
	f := &feed{ctx: ctx, cancel: cancel}
	timeout := c.timeout
	if r.turn {
		timeout = c.turnTimeout
	}
	if timeout > 0 {
		opening := time.AfterFunc(timeout, func() { cancel(errOpen) })
		defer opening.Stop()
	}
	response, err := c.attempt(ctx, r)
	if err != nil {
		if cause := context.Cause(ctx); cause != nil && !errors.Is(err, cause) {
			err = fmt.Errorf("intuno: %s: %w", r.op(), cause)
		}
		cancel(nil)
		return nil, err
	}
	f.body = response.Body
	f.media, _, _ = mime.ParseMediaType(response.Header.Get("Content-Type")) // empty if it is none
	f.watch = time.AfterFunc(silence, func() { cancel(errSilent) })
	return f, nil
}

// Read implements io.Reader.
func (f *feed) Read(p []byte) (int, error) {
	n, err := f.body.Read(p)
	if n > 0 && f.ctx.Err() == nil {
		f.watch.Reset(silence)
	}
	if err != nil && !errors.Is(err, io.EOF) {
		if cause := context.Cause(f.ctx); cause != nil {
			err = cause
		}
		return n, fmt.Errorf("intuno: read stream: %w", err)
	}
	return n, err
}

// Close implements io.Closer. It may be called again, and while Read waits.
func (f *feed) Close() error {
	f.watch.Stop()
	f.cancel(errClosed)
	f.watch.Stop() // once more: a Read may have set it between
	_ = f.body.Close()
	return nil
}

// Event is one event of a stream.
type Event struct {
	ID   int64  // number within the turn, from 1; 0 in invocations
	Name string // a constant Event... of package api

	// Data is, by name:
	//   - of a turn: api.MessageStarted, api.ReplyDelta, api.ToolCallEvent,
	//     api.ToolResultEvent, api.ChatAnswer, api.TurnError
	//   - of an invocation: json.RawMessage (a chunk), api.InvokeResponse,
	//     api.InvokeError, api.InvokeDone
	//   - of a name that this version does not know: json.RawMessage
	Data any
}

// Stream is the events of a turn or an invocation. Next must not be called from two
// goroutines at once; Close may be called at any time, and must be unless Next has
// returned an error.
type Stream struct {
	client *Client
	ctx    context.Context         // of all connections, and of the waits between them
	stop   context.CancelCauseFunc // ends ctx
	decode func(raw rawEvent) (e Event, last bool, err error)
	resume func(last int64) *request // nil: a broken stream is not resumed
	events *eventReader
	last   int64 // number of the last event that was returned
	tries  int   // reconnections since
	err    error // what every further Next returns

	mu     sync.Mutex // guards what Close touches
	feed   *feed
	closed bool
}

// stream sends r and returns its events.
func (c *Client) stream(ctx context.Context, r *request, decode func(rawEvent) (Event, bool, error)) (*Stream, error) {
	r.accept = eventStream
	s := &Stream{client: c, decode: decode}
	s.ctx, s.stop = context.WithCancelCause(ctx)
	err := c.retry(s.ctx, r, func() error { return s.connect(r) })
	if err != nil {
		s.stop(nil)
		return nil, err
	}
	return s, nil
}

// connect sends r once and reads events from its answer from now on.
func (s *Stream) connect(r *request) error {
	f, err := s.client.open(s.ctx, r)
	if err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case s.closed:
		err = errClosed
	case f.media != eventStream:
		err = fmt.Errorf("intuno: %s: %w: not an event stream", r.op(), ErrAnswer)
	default:
		s.feed, s.events = f, newEventReader(f)
		return nil
	}
	return errors.Join(err, f.Close())
}

// Next waits for the next event. After the last one it returns io.EOF; if the stream ends
// before that and cannot be resumed, io.ErrUnexpectedEOF or what broke it.
func (s *Stream) Next() (Event, error) {
	if s.err != nil {
		return Event{}, s.err
	}
	e, last, err := s.read()
	if err != nil || last {
		s.err = err
		if last {
			s.err = io.EOF
		}
		s.hangUp(false)
		s.stop(errClosed)
	}
	return e, err
}

// read returns the next event, from a new connection if this one breaks.
func (s *Stream) read() (Event, bool, error) {
	for {
		raw, err := s.events.next()
		if err != nil {
			if err = s.again(err); err != nil {
				return Event{}, false, err
			}
			continue
		}
		e, last, err := s.decode(raw)
		if err != nil {
			return Event{}, false, fmt.Errorf("intuno: event %.40q: %w: %w", raw.name, ErrAnswer, err)
		}
		if e.ID != 0 && e.ID <= s.last {
			continue // it was returned before the connection broke
		}
		s.last, s.tries = max(s.last, e.ID), 0
		return e, last, nil
	}
}

// again reconnects after err, or returns why it does not.
func (s *Stream) again(err error) error {
	if errors.Is(err, io.EOF) {
		err = fmt.Errorf("intuno: read stream: %w", io.ErrUnexpectedEOF)
	}
	for {
		if errors.Is(err, ErrAnswer) || s.hangUp(false) || s.ctx.Err() != nil || s.resume == nil || s.tries >= s.client.retries {
			return err
		}
		r := s.resume(s.last)
		if r == nil {
			return err
		}
		wait, again := afterwards(err, r, s.tries)
		if !again {
			return err
		}
		s.tries++
		if stopped := pause(s.ctx, max(wait, min(s.events.wait, longestWait))); stopped != nil {
			return fmt.Errorf("%w (%w)", err, stopped)
		}
		if err = s.connect(r); err == nil {
			return nil
		}
	}
}

// hangUp closes the connection, for good if the reader wants it, and reports whether it
// does.
func (s *Stream) hangUp(closed bool) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.closed = s.closed || closed
	if s.closed {
		s.stop(errClosed)
	}
	if s.feed != nil {
		_ = s.feed.Close() // it was only read
	}
	return s.closed
}

// Close ends the stream. A turn goes on without it, an invocation is cancelled. It may be
// called again.
func (s *Stream) Close() error {
	s.hangUp(true)
	return nil
}

// All returns the events until the last one, and closes the stream. An error ends it.
func (s *Stream) All() iter.Seq2[Event, error] {
	return func(yield func(Event, error) bool) {
		defer s.hangUp(true)
		for {
			e, err := s.Next()
			if errors.Is(err, io.EOF) && !errors.Is(err, io.ErrUnexpectedEOF) || !yield(e, err) || err != nil {
				return
			}
		}
	}
}

// decodeAs reads the data of an event into a T.
func decodeAs[T any](raw rawEvent) (any, error) {
	var data T
	if err := json.Unmarshal([]byte(raw.data), &data); err != nil {
		return nil, err
	}
	return data, nil
}

// eventNumber reads the id of an event of a turn; what is no number counts as none.
func eventNumber(id string) int64 {
	n, err := strconv.ParseInt(id, 10, 64)
	if err != nil || n < 0 {
		return 0
	}
	return n
}

// resumeAt makes the request that goes on behind event number last.
func resumeAt(name, message string, last int64) *request {
	r := newRequest(http.MethodGet, "/personal/entities/{name}/messages/{message_id}/events", name, message)
	r.accept = eventStream
	if last > 0 {
		r.last = strconv.FormatInt(last, 10)
	}
	return r
}
