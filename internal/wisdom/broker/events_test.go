package broker

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/IntunoAI/intuno-go/internal/wisdom/registry"
)

// pieces is a sender whose answer comes in pieces.
type pieces struct {
	status int
	pieces [][]byte
	err    error // after the last piece
	sent   Outgoing
}

func (p *pieces) Send(context.Context, Outgoing) (int, []byte, error) {
	return 0, nil, errors.New("a stream is wanted")
}

func (p *pieces) Stream(_ context.Context, o Outgoing, take func([]byte) error) (int, []byte, error) {
	p.sent = o
	if p.status < 200 || p.status > 299 {
		return p.status, bytes.Join(p.pieces, nil), p.err
	}
	for _, piece := range p.pieces {
		mutable := bytes.Clone(piece)
		if err := take(mutable); err != nil {
			return p.status, nil, err
		}
		for i := range mutable {
			mutable[i] = '!' // it is not the taker's any more
		}
	}
	return p.status, nil, p.err
}

// streamed sends a call to an agent that answers so.
func streamed(p *pieces) (Reply, []string, error) {
	endpoint := "https://a.example.org/"
	var chunks []string
	reply, err := NewEvents(p).Send(context.Background(), Call{Agent: registry.Agent{Endpoint: &endpoint}, Input: []byte(`{"a":1}`)}, func(chunk []byte) error {
		chunks = append(chunks, string(chunk))
		return nil
	})
	return reply, chunks, err
}

var streams = []struct {
	name   string
	body   string
	chunks []string
	text   string // what they say
	body2  string // of the reply
}{
	{"objects", "data: {\"text\": \"a\"}\n\ndata:{\"delta\":\"b\"}\n\ndata: {\"content\":\"c\"}\n\n", []string{`{"text":"a"}`, `{"delta":"b"}`, `{"content":"c"}`}, "abc", `{"text":"abc"}`},
	{"the first string counts", "data: {\"content\":\"c\",\"delta\":\"d\",\"text\":1}\n", []string{`{"content":"c","delta":"d","text":1}`}, "d", `{"text":"d"}`},
	{"raw text", "data: Hello,  world \n\ndata:  two\n\n", []string{`{"text":"Hello,  world "}`, `{"text":" two"}`}, "Hello,  world  two", `{"text":"Hello,  world  two"}`},
	{"other JSON", "data: [1, 2]\n\ndata: 1.10\n\ndata: \"s\"\n\ndata: null\n\n", []string{`[1,2]`, `1.10`, `"s"`, `null`}, "", ""},
	{"LF, CR and CRLF", "data: 1\ndata: 2\rdata: 3\r\ndata: 4\r\r\n\n\rdata: 5\r\n", []string{"1", "2", "3", "4", "5"}, "", ""},
	{"every data line of an event", "event: x\nid: 7\ndata: {\ndata: }\nretry: 1\n\n", []string{`{"text":"{"}`, `{"text":"}"}`}, "{}", `{"text":"{}"}`},
	{"an empty data line", "data:\n\ndata: \n\n", []string{`{"text":""}`, `{"text":""}`}, "", ""},
	{"comments, fields, others", ": ping\n\ndatax: 1\n data: 2\ndata: 3\nDATA: 4\ndata\n\n", []string{"3"}, "", ""},
	{"a byte order mark", "\uFEFFdata: 1\n\n", []string{"1"}, "", ""},
	{"no end of the last line", "data: 1\n\ndata: 2", []string{"1", "2"}, "", ""},
	{"not UTF-8", "data: a\xffb\n\n", []string{"{\"text\":\"a\uFFFDb\"}"}, "a\uFFFDb", "{\"text\":\"a\uFFFDb\"}"},
	{"NUL and separators", "data: a\x00\u2028\n\n", []string{"{\"text\":\"a\\u0000\u2028\"}"}, "a\x00\u2028", "{\"text\":\"a\\u0000\u2028\"}"},
	{"nothing but comments", ": ping\n\n: ping\n\n", nil, "", ""},
	{"events without data", "event: end\n\n", nil, "", ""},
	{"nothing", "", nil, "", ""},
	{"a whole object", "{\"text\":\n\"a\"\n:1}"[:12] + "}", []string{`{"text":"a"}`}, "", "{\"text\":\n\"a\"}"},
	{"a whole with a colon at the begin of a line", "{\"a\"\n:1}", []string{`{"a":1}`}, "", "{\"a\"\n:1}"},
	{"a whole list", "[1]\n", []string{`{"result":[1]}`}, "", "[1]\n"},
	{"no JSON", "hello\n", nil, "", "hello\n"},
	{"text before the data", "hello\ndata: 1\n\n", []string{"1"}, "", ""},
}

func TestAStreamIsReadTheSameHoweverItIsCut(t *testing.T) {
	for _, tt := range streams {
		for cut := 0; cut <= len(tt.body); cut++ {
			p := &pieces{status: 200, pieces: [][]byte{[]byte(tt.body[:cut]), []byte(tt.body[cut:])}}
			reply, chunks, err := streamed(p)
			if err != nil || !slices.Equal(chunks, tt.chunks) || reply.Text != tt.text || string(reply.Body) != tt.body2 || reply.Status != 200 {
				t.Errorf("%s, cut at %d: got %q, %+v %s, %v, want %q", tt.name, cut, chunks, reply, reply.Body, err, tt.chunks)
				break
			}
		}
		var single [][]byte
		for i := range len(tt.body) {
			single = append(single, []byte{tt.body[i]})
		}
		if _, chunks, err := streamed(&pieces{status: 200, pieces: single}); err != nil || !slices.Equal(chunks, tt.chunks) {
			t.Errorf("%s, byte by byte: got %q, %v, want %q", tt.name, chunks, err, tt.chunks)
		}
	}
}

func TestAStreamIsAskedForWithItsBounds(t *testing.T) {
	p := &pieces{status: 200, pieces: [][]byte{[]byte("data: 1\n")}}
	if _, _, err := streamed(p); err != nil {
		t.Fatal(err)
	}
	if o := p.sent; o.Header["Accept"] != "text/event-stream" || o.Idle != 30*time.Second || o.MaxBody != 1<<20 || string(o.Body) != `{"a":1}` || o.URL != "https://a.example.org/" {
		t.Errorf("got %+v", o)
	}
}

func TestAStreamThatFailsHasTheStatusOrTheError(t *testing.T) {
	reply, chunks, err := streamed(&pieces{status: 503, pieces: [][]byte{[]byte("data: 1\n\n")}})
	if err != nil || len(chunks) != 0 || reply.Status != 503 {
		t.Errorf("status: got %+v, %q, %v", reply, chunks, err)
	}
	_, chunks, err = streamed(&pieces{status: 200, pieces: [][]byte{[]byte("data: 1\n\ndata: 2")}, err: ErrUnreachable})
	if !errors.Is(err, ErrUnreachable) || !slices.Equal(chunks, []string{"1"}) {
		t.Errorf("broken off: got %q, %v", chunks, err)
	}
	for _, body := range []string{"data: 1\n\n", "{}"} {
		_, err = NewEvents(&pieces{status: 200, pieces: [][]byte{[]byte(body)}}).Send(t.Context(), Call{}, func([]byte) error { return errLeft })
		if !errors.Is(err, errLeft) {
			t.Errorf("%s: got %v, want %v", body, err, errLeft)
		}
	}
}

func FuzzEvents(f *testing.F) {
	for _, tt := range streams {
		f.Add([]byte(tt.body), uint(len(tt.body)/2))
	}
	f.Fuzz(func(t *testing.T, body []byte, cut uint) {
		at := int(cut % uint(len(body)+1))
		whole, chunks, err := streamed(&pieces{status: 200, pieces: [][]byte{body}})
		parts, same, err2 := streamed(&pieces{status: 200, pieces: [][]byte{body[:at], body[at:]}})
		if err != nil || err2 != nil {
			t.Fatal(err, err2)
		}
		if !slices.Equal(chunks, same) || fmt.Sprint(whole) != fmt.Sprint(parts) {
			t.Fatalf("cut at %d: got %q, want %q", at, same, chunks)
		}
		for _, chunk := range chunks {
			if strings.ContainsAny(chunk, "\r\n") || !jsontext.Value(chunk).IsValid() {
				t.Fatalf("chunk %q", chunk)
			}
		}
		if r := resultOf(whole, nil); r.Success && (r.Data[0] != '{' || !jsontext.Value(r.Data).IsValid()) {
			t.Fatalf("data %s", r.Data)
		}
	})
}
