package httpx

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/IntunoAI/intuno-go/internal/clock"
	"github.com/IntunoAI/intuno-go/internal/fault"
	"github.com/IntunoAI/intuno-go/internal/principal"
)

// large are the elements of these tests.
type large struct {
	Name string            `json:"name"`
	Tags []string          `json:"tags"`
	Map  map[string]string `json:"map"`
}

// listServer answers at /list what list returns, and at /whole the same buffered.
func listServer(t *testing.T, list func() Reply, whole any) *httptest.Server {
	t.Helper()
	s, err := New(Options{Service: "test", Guard: &testGuard{}, Now: clock.System, Log: slog.New(slog.DiscardHandler), Routes: []Route{
		Get("/list", User, func(context.Context, principal.Principal, *struct{}) (Reply, error) { return list(), nil }),
		Get("/whole", User, func(context.Context, principal.Principal, *struct{}) (Reply, error) { return Reply{JSON: whole}, nil }),
	}})
	if err != nil {
		t.Fatal(err)
	}
	server := httptest.NewServer(s)
	t.Cleanup(server.Close)
	return server
}

// framed has a list as its last member.
type framed struct {
	Title string `json:"title"`
	Inner struct {
		Rows []large `json:"rows"`
	} `json:"inner"`
}

const asAda = " HTTP/1.1\r\nHost: x\r\nX-Test-User: ada\r\nX-Request-Id: r\r\n"

func TestAListIsAnsweredAsIfItWereBuffered(t *testing.T) {
	big := strings.Repeat("<é\u2028\x01", 100<<10)
	all := []large{{Name: "a", Map: map[string]string{"z": "1", "a": "2"}}, {Name: big, Tags: []string{}}, {Name: `"quoted"`, Tags: []string{big}}, {}}
	for name, gone := range map[string]string{"all": "----", "first gone": "x---", "last gone": "---x", "inner gone": "-xx-", "only the last": "xxx-", "all gone": "xxxx"} {
		var rows []int
		whole := []large{}
		for i := range all {
			rows = append(rows, i)
			if gone[i] != 'x' {
				whole = append(whole, all[i])
			}
		}
		element := func(_ context.Context, i int) (large, error) {
			if gone[i] == 'x' {
				return large{}, fault.Missing("row")
			}
			return all[i], nil
		}
		sameAnswer(t, name, listServer(t, func() Reply { return List(rows, element) }, whole))
		around := framed{Title: `a "[]}" []`}
		inside := around
		inside.Inner.Rows = whole
		sameAnswer(t, name+", in an object", listServer(t, func() Reply { return ListIn(around, rows, element) }, inside))
	}
}

// sameAnswer compares what the server of a list streams and buffers.
func sameAnswer(t *testing.T, name string, server *httptest.Server) {
	t.Helper()
	var got [2]string
	for n, path := range []string{"/list", "/whole"} {
		response, body := fetch(t, server, path)
		header := response.Header.Clone()
		for _, varies := range []string{"Date", "X-Request-Id", "X-Response-Time-Ms", "Content-Length"} {
			header.Del(varies)
		}
		var text strings.Builder
		_ = header.Write(&text)
		got[n] = response.Status + "\n" + text.String() + "\n" + body
	}
	if got[0] != got[1] {
		t.Errorf("%s: streamed and buffered answers differ: %d and %d bytes:\n%.300s\n%.300s", name, len(got[0]), len(got[1]), got[0], got[1])
	}
}

func TestAListHasAPlaceInItsObject(t *testing.T) {
	full := framed{}
	full.Inner.Rows = []large{{}}
	for name, frame := range map[string]any{"rows are there": full, "no object": 1, "in the middle": struct {
		Rows []large `json:"rows"`
		Last string  `json:"last"`
	}{Last: "[]"}} {
		if head, tail, err := cut(frame); err == nil {
			t.Errorf("%s: %s and %s", name, head, tail)
		}
	}
}

func fetch(t *testing.T, server *httptest.Server, path string) (*http.Response, string) {
	t.Helper()
	request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, server.URL+path, nil)
	if err != nil {
		t.Fatal(err)
	}
	request.Header.Set("X-Test-User", "ada")
	response, err := server.Client().Do(request)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	return response, string(body)
}

func TestAListThatBreaksDoesNotLookComplete(t *testing.T) {
	for _, after := range []int{0, 1, 3} {
		server := listServer(t, func() Reply {
			return List([]int{0, 1, 2, 3}, func(_ context.Context, i int) (large, error) {
				if i == after {
					return large{}, errors.New("the database is gone")
				}
				return large{Name: strings.Repeat("x", listBuffer)}, nil
			})
		}, nil)
		answer := raw(t, server.Listener.Addr().String(), "GET /list"+asAda+"\r\n")
		if strings.HasSuffix(answer, "0\r\n\r\n") || strings.Contains(answer, "database") || strings.Count(answer, `"name"`) != after {
			t.Errorf("after %d elements: the list looks complete: %d bytes", after, len(answer))
		}
	}
}

// sink is a client that has read everything that was sent.
type sink struct {
	*httptest.ResponseRecorder
	sent func(n int)
}

func (s sink) Write(p []byte) (int, error) {
	s.sent(len(p))
	return len(p), nil
}

func TestAnElementIsMadeWhenThoseBeforeItAreSent(t *testing.T) {
	const rows, size = 50, 900 << 10
	made, sent, most := 0, 0, 0
	reply := List(make([]int, rows), func(context.Context, int) (large, error) {
		made += size
		most = max(most, made-sent)
		return large{Name: strings.Repeat("x", size)}, nil
	})
	w := sink{httptest.NewRecorder(), func(n int) { sent += n }}
	err := reply.Stream(t.Context(), &Stream{w: w, control: http.NewResponseController(w), deadline: clock.System})
	if err != nil || sent < rows*size || most > size+listBuffer {
		t.Errorf("got %v, %d bytes sent, up to %d held, want at most one element and %d", err, sent, most, listBuffer)
	}
}

func TestAListEndsWithItsReader(t *testing.T) {
	ctx, leave := context.WithCancel(t.Context())
	made := 0
	reply := List(make([]int, 50), func(context.Context, int) (large, error) {
		if made++; made == 3 {
			leave()
		}
		return large{}, nil
	})
	w := httptest.NewRecorder()
	err := reply.Stream(ctx, &Stream{w: w, control: http.NewResponseController(w), deadline: clock.System})
	if !errors.Is(err, context.Canceled) || made != 3 {
		t.Errorf("got %v after %d elements", err, made)
	}
}

func TestAReaderThatDoesNotReadIsCutOff(t *testing.T) {
	late := func() time.Time { return clock.System().Add(200*time.Millisecond - writeTimeout) }
	made, ended := 0, make(chan error, 1)
	s, err := New(Options{Service: "test", Guard: &testGuard{}, Now: late, Log: slog.New(slog.DiscardHandler), Routes: []Route{
		Get("/list", User, func(context.Context, principal.Principal, *struct{}) (Reply, error) {
			reply := List(make([]int, 100), func(context.Context, int) (large, error) {
				made++
				return large{Name: strings.Repeat("x", 1<<20)}, nil
			})
			stream := reply.Stream
			reply.Stream = func(ctx context.Context, w *Stream) error {
				err := stream(ctx, w)
				ended <- err
				return err
			}
			return reply, nil
		}),
	}})
	if err != nil {
		t.Fatal(err)
	}
	server := httptest.NewServer(s)
	defer server.Close()
	conn, err := net.Dial("tcp", server.Listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if _, err := io.WriteString(conn, "GET /list"+asAda+"\r\n"); err != nil {
		t.Fatal(err)
	}
	if err := <-ended; !errors.Is(err, os.ErrDeadlineExceeded) || made == 100 {
		t.Errorf("got %v after %d elements", err, made)
	}
}
