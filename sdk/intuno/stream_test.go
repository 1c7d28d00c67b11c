package intuno

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"reflect"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/IntunoAI/intuno-go/api"
)

const message = "9a01e679-7425-40de-944b-e07fc1f90ae7"

// turn is the events of a turn as the server sends them.
var turn = []string{
	`{"message_id":"` + message + `","entity":"aria","created_at":"2026-04-23T12:00:00.000000Z"}`,
	`{"message_id":"` + message + `","call_id":"t1","tool":"clock","arguments":{}}`,
	`{"message_id":"` + message + `","call_id":"t1","tool":"clock","ok":true,"summary":"12:00"}`,
	`{"message_id":"` + message + `","text":"It is "}`,
	`{"message_id":"` + message + `","text":"noon."}`,
	`{"message_id":"` + message + `","reply":"It is noon.","reply_message_id":"x","entity":"aria","owner_user_id":"u","tool_calls":[],"created_at":"2026-04-23T12:00:00.000000Z","completed_at":"2026-04-23T12:00:01.000000Z"}`,
}

var turnNames = []string{api.EventMessageStarted, api.EventToolCall, api.EventToolResult, api.EventReplyDelta, api.EventReplyDelta, api.EventReplyCompleted}

// frames is the events from number from to number to, both included.
func frames(from, to int) string {
	text := "retry: 2000\n\n"
	for i := from; i <= to; i++ {
		text += fmt.Sprintf("id: %d\nevent: %s\ndata: %s\n\n: still here\n\n", i, turnNames[i-1], turn[i-1])
	}
	return text
}

func sse(body io.Reader) *http.Response {
	r := answer(200, "", "Content-Type", "text/event-stream; charset=utf-8")
	r.Body = io.NopCloser(body)
	return r
}

// collect reads a stream to its end.
func collect(s *Stream) (numbers []int64, last Event, err error) {
	for e, err := range s.All() {
		if err != nil {
			return numbers, last, err
		}
		numbers, last = append(numbers, e.ID), e
	}
	return numbers, last, nil
}

func TestAStreamHasTheEventsOfATurnWithTheirTypes(t *testing.T) {
	c := serve(t, func(w http.ResponseWriter, r *http.Request) {
		if r.Method != "POST" || r.URL.Path != "/personal/entities/aria/messages" || r.Header.Get("Accept") != eventStream || r.Header.Get("Accept-Encoding") != "identity" {
			t.Errorf("asked %s %s %v", r.Method, r.URL, r.Header)
		}
		w.Header().Set("Content-Type", eventStream)
		_, _ = io.WriteString(w, frames(1, 6)+"event: late\ndata: {}\n\n")
	})
	s, err := c.StreamMessage(t.Context(), "aria", "what time is it")
	if err != nil {
		t.Fatal(err)
	}
	var types []string
	var reply string
	for {
		e, err := s.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		types = append(types, reflect.TypeOf(e.Data).Name())
		if delta, ok := e.Data.(api.ReplyDelta); ok {
			reply += delta.Text
		}
		if done, ok := e.Data.(api.ChatAnswer); ok && (done.Reply != reply || e.ID != 6 || e.Name != api.EventReplyCompleted) {
			t.Errorf("ended with %+v", e)
		}
	}
	if want := []string{"MessageStarted", "ToolCallEvent", "ToolResultEvent", "ReplyDelta", "ReplyDelta", "ChatAnswer"}; !slices.Equal(types, want) {
		t.Errorf("got %v, want %v", types, want)
	}
	if _, err := s.Next(); !errors.Is(err, io.EOF) {
		t.Errorf("after the end: %v", err)
	}
}

func TestATurnThatFailsEndsWithItsError(t *testing.T) {
	c := newClient(t, "http://h", WithTransport(transport(func(*http.Request) (*http.Response, error) {
		return sse(strings.NewReader(frames(1, 1) + "id: 2\nevent: error\ndata: {\"message_id\":\"m\",\"code\":\"brain_error\",\"detail\":\"No\",\"status\":502}\n\n")), nil
	})))
	s, err := c.FollowMessage(t.Context(), "aria", message, 0)
	if err != nil {
		t.Fatal(err)
	}
	_, last, err := collect(s)
	if got, ok := last.Data.(api.TurnError); err != nil || !ok || got.Code != "brain_error" || got.Status != 502 {
		t.Errorf("ended with %+v (%v)", last, err)
	}
}

func TestAnInvocationHasItsEventsWithTheirTypes(t *testing.T) {
	for name, test := range map[string]struct {
		stream string
		want   []any
	}{
		"chunks": {"event: chunk\ndata: {\"text\":\"a\"}\n\nevent: chunk\ndata: [1]\n\nevent: done\ndata: {\"success\":true,\"status_code\":200}\n\n",
			[]any{json.RawMessage(`{"text":"a"}`), json.RawMessage(`[1]`), api.InvokeDone{Success: true, StatusCode: 200}}},
		"result":   {"event: result\ndata: {\"success\":true,\"data\":{}}\n\nevent: done\ndata: {}\n\n", []any{api.InvokeResponse{Success: true, Data: api.Object(`{}`)}, api.InvokeDone{}}},
		"error":    {"event: error\ndata: {\"error_code\":\"x\"}\n\nevent: done\ndata: {}\n\n", []any{api.InvokeError{ErrorCode: "x"}, api.InvokeDone{}}},
		"new ones": {"event: later\ndata: 1\n\nevent: done\ndata: {}\n\n", []any{json.RawMessage(`1`), api.InvokeDone{}}},
	} {
		c := newClient(t, "http://h", WithTransport(transport(func(*http.Request) (*http.Response, error) { return sse(strings.NewReader(test.stream)), nil })))
		s, err := c.InvokeStream(t.Context(), api.InvokeRequest{Input: api.Object(`{}`)})
		if err != nil {
			t.Fatal(err)
		}
		var got []any
		for e, err := range s.All() {
			if err != nil {
				t.Fatalf("%s: %v", name, err)
			}
			got = append(got, e.Data)
		}
		if !reflect.DeepEqual(got, test.want) {
			t.Errorf("%s: got %+v, want %+v", name, got, test.want)
		}
	}
}

func TestABrokenTurnGoesOnWhereItWas(t *testing.T) {
	for name, end := range map[string]error{"cut": errors.New("connection reset"), "ended early": io.EOF} {
		synctest.Test(t, func(t *testing.T) {
			var asked []string
			begin := time.Now()
			c := newClient(t, "http://h", WithToken("eyJ"), WithRetries(3), WithTransport(transport(func(r *http.Request) (*http.Response, error) {
				asked = append(asked, r.Method+" "+r.URL.Path+" "+r.Header.Get("Last-Event-ID")+" "+r.Header.Get("Authorization"))
				cut := func(text string) *http.Response { return sse(io.MultiReader(strings.NewReader(text), iotestErr{end})) }
				switch len(asked) {
				case 1:
					return cut(frames(1, 2) + "id: 3\nevent: tool.res"), nil
				case 2:
					return cut(frames(3, 3)), nil
				case 3:
					return nil, errors.New("connection refused")
				case 4:
					return answer(503, `{}`), nil
				case 5:
					return cut(frames(2, 5)), nil // two of them again
				}
				return sse(strings.NewReader(frames(6, 6))), nil
			})))
			s, err := c.StreamMessage(t.Context(), "aria", "hi", Once("k"))
			if err != nil {
				t.Fatal(err)
			}
			numbers, last, err := collect(s)
			if !slices.Equal(numbers, []int64{1, 2, 3, 4, 5, 6}) || last.Name != api.EventReplyCompleted {
				t.Errorf("%s: got %v and %+v (%v)", name, numbers, last, err)
			}
			events := "GET /personal/entities/aria/messages/" + message + "/events "
			want := []string{"POST /personal/entities/aria/messages  Bearer eyJ", events + "2 Bearer eyJ", events + "3 Bearer eyJ", events + "3 Bearer eyJ", events + "3 Bearer eyJ", events + "5 Bearer eyJ"}
			if !slices.Equal(asked, want) {
				t.Errorf("%s: asked %v, want %v", name, asked, want)
			}
			if waited := time.Since(begin); waited < 8*time.Second {
				t.Errorf("%s: waited %v, want 2s as the server asked for, each time", name, waited)
			}
		})
	}
}

// iotestErr fails with that error.
type iotestErr struct{ err error }

func (r iotestErr) Read([]byte) (int, error) { return 0, r.err }

func TestAStreamThatCannotGoOnIsAnError(t *testing.T) {
	started := frames(1, 1)
	for _, test := range []struct {
		name, stream string
		then         func() (*http.Response, error)
		want         error
		asked        int
	}{
		{"before the first event", "retry: 1\n\n", nil, io.ErrUnexpectedEOF, 1},
		{"always refused", started, func() (*http.Response, error) { return nil, errors.New("refused") }, nil, 3},
		{"never an event more", started, func() (*http.Response, error) { return sse(strings.NewReader("")), nil }, io.ErrUnexpectedEOF, 3},
		{"gone", started, func() (*http.Response, error) { return answer(404, `{}`), nil }, ErrNotFound, 2},
		{"not authenticated any more", started, func() (*http.Response, error) { return answer(401, `{}`), nil }, ErrUnauthorized, 2},
		{"redirected", started, func() (*http.Response, error) { return answer(307, ``, "Location", "http://x"), nil }, ErrAnswer, 2},
		{"no stream", started, func() (*http.Response, error) { return answer(200, `{}`, "Content-Type", "application/json"), nil }, ErrAnswer, 2},
		{"data that is no JSON", started + "id: 2\nevent: reply.delta\ndata: x\n\n", nil, ErrAnswer, 1},
		{"a message id that is none", strings.ReplaceAll(started, message, "../../auth/me"), nil, io.ErrUnexpectedEOF, 1},
	} {
		synctest.Test(t, func(t *testing.T) {
			asked := 0
			c := newClient(t, "http://h", WithTransport(transport(func(*http.Request) (*http.Response, error) {
				if asked++; asked == 1 {
					return sse(strings.NewReader(test.stream)), nil
				}
				return test.then()
			})))
			s, err := c.StreamMessage(t.Context(), "aria", "hi")
			if err != nil {
				t.Fatal(err)
			}
			_, _, err = collect(s)
			if err == nil || test.want != nil && !errors.Is(err, test.want) || asked != test.asked {
				t.Errorf("%s: asked %d times, want %d: %v", test.name, asked, test.asked, err)
			}
			if _, again := s.Next(); again == nil || again.Error() != err.Error() {
				t.Errorf("%s: then %v", test.name, again)
			}
		})
	}
}

func TestAnInvocationIsNeverAskedAgain(t *testing.T) {
	asked := 0
	c := newClient(t, "http://h", WithTransport(transport(func(*http.Request) (*http.Response, error) {
		asked++
		return sse(io.MultiReader(strings.NewReader("event: chunk\ndata: 1\n\n"), errReader{})), nil
	})))
	s, err := c.InvokeStream(t.Context(), api.InvokeRequest{Input: api.Object(`{}`)})
	if err != nil {
		t.Fatal(err)
	}
	if numbers, _, err := collect(s); err == nil || len(numbers) != 1 || asked != 1 {
		t.Errorf("got %v after %d requests: %v", numbers, asked, err)
	}
}

func TestWhatIsNoEventStreamIsRefused(t *testing.T) {
	for name, media := range map[string]string{"JSON": "application/json", "none": "", "rubbish": "event/text/stream", "HTML": "text/html"} {
		c := newClient(t, "http://h", WithTransport(transport(func(*http.Request) (*http.Response, error) { return answer(200, "{}", "Content-Type", media), nil })))
		if s, err := c.FollowMessage(t.Context(), "aria", message, 3); !errors.Is(err, ErrAnswer) || s != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// dripping is a body that gives its text, then nothing until it is closed.
type dripping struct {
	text   io.Reader
	closed chan struct{}
}

func (d *dripping) Read(p []byte) (int, error) {
	if n, err := d.text.Read(p); err == nil {
		return n, nil
	}
	<-d.closed
	return 0, errors.New("body closed")
}

func drip(r *http.Request, text string) *http.Response {
	d := &dripping{strings.NewReader(text), make(chan struct{})}
	context.AfterFunc(r.Context(), func() { close(d.closed) }) // as net/http does
	return sse(d)
}

func TestSilenceBreaksAConnection(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		asked := 0
		c := newClient(t, "http://h", WithTransport(transport(func(r *http.Request) (*http.Response, error) {
			if asked++; asked == 1 {
				return drip(r, frames(1, 5)), nil
			}
			return sse(strings.NewReader(frames(6, 6))), nil
		})))
		begin := time.Now()
		s, err := c.StreamMessage(t.Context(), "aria", "hi")
		if err != nil {
			t.Fatal(err)
		}
		numbers, _, err := collect(s)
		if waited := time.Since(begin); err != nil || len(numbers) != 6 || waited < silence || waited > silence+5*time.Second {
			t.Errorf("got %v after %v: %v", numbers, waited, err)
		}
	})
	synctest.Test(t, func(t *testing.T) {
		c := newClient(t, "http://h", WithTransport(transport(func(r *http.Request) (*http.Response, error) {
			f := drip(r, `{"version":1`)
			f.Header.Set("Content-Type", "application/json")
			return f, nil
		})))
		body, err := c.ExportEntity(t.Context(), "aria")
		if err != nil {
			t.Fatal(err)
		}
		text, err := io.ReadAll(body)
		if string(text) != `{"version":1` || !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("read %q: %v", text, err)
		}
		if err := errors.Join(body.Close(), body.Close()); err != nil {
			t.Error(err)
		}
	})
}

func TestAServerThatDoesNotAnswerAStreamIsGivenUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newClient(t, "http://h", WithTimeout(7*time.Second), WithRetries(0), WithTransport(transport(func(r *http.Request) (*http.Response, error) {
			<-r.Context().Done()
			return nil, r.Context().Err()
		})))
		begin := time.Now()
		_, err := c.StreamMessage(t.Context(), "aria", "hi")
		if waited := time.Since(begin); !errors.Is(err, context.DeadlineExceeded) || waited != 7*time.Second {
			t.Errorf("gave up after %v: %v", waited, err)
		}
	})
}

func TestCloseAndTheContextEndAStreamThatWaits(t *testing.T) {
	for name, end := range map[string]func(*Stream, context.CancelFunc){
		"close":   func(s *Stream, _ context.CancelFunc) { _ = s.Close() },
		"context": func(_ *Stream, cancel context.CancelFunc) { cancel() },
	} {
		gone := make(chan struct{})
		c := serve(t, func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Content-Type", eventStream)
			_, _ = io.WriteString(w, frames(1, 1))
			_ = http.NewResponseController(w).Flush()
			<-r.Context().Done()
			close(gone)
		})
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		s, err := c.StreamMessage(ctx, "aria", "hi")
		if err != nil {
			t.Fatal(err)
		}
		if e, err := s.Next(); err != nil || e.ID != 1 {
			t.Fatalf("%s: %+v (%v)", name, e, err)
		}
		time.AfterFunc(10*time.Millisecond, func() { end(s, cancel) })
		if _, err := s.Next(); err == nil || errors.Is(err, io.EOF) || name == "context" && !errors.Is(err, context.Canceled) {
			t.Errorf("%s: %v", name, err)
		}
		<-gone // the server notices
		if err := errors.Join(s.Close(), s.Close()); err != nil {
			t.Error(err)
		}
	}
}

func TestCloseEndsTheWaitForAnotherConnection(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		calls := 0
		c := newClient(t, "https://intuno.test", WithTransport(transport(func(*http.Request) (*http.Response, error) {
			calls++
			return sse(strings.NewReader(frames(1, 1))), nil
		})))
		s, err := c.StreamMessage(t.Context(), "aria", "hi")
		if err != nil {
			t.Fatal(err)
		}
		if _, err := s.Next(); err != nil {
			t.Fatal(err)
		}
		began := time.Now()
		time.AfterFunc(time.Second, func() { _ = s.Close() }) // frames ask for a wait of 2 s
		if _, err := s.Next(); !errors.Is(err, errClosed) || time.Since(began) != time.Second || calls != 1 {
			t.Errorf("got %v after %v and %d requests, want the end at once", err, time.Since(began), calls)
		}
	})
}
