package intuno

import (
	"errors"
	"io"
	"reflect"
	"strconv"
	"strings"
	"testing"
	"testing/iotest"
	"time"
)

// readAll reads every event of a stream.
func readEvents(r io.Reader) (list []rawEvent, wait time.Duration, err error) {
	e := newEventReader(r)
	for {
		raw, err := e.next()
		if err != nil {
			return list, e.wait, err
		}
		list = append(list, raw)
	}
}

func TestEventsAreReadAsTheStandardSays(t *testing.T) {
	for _, test := range []struct {
		name, stream string
		want         []rawEvent
	}{
		{"one event", "id: 1\nevent: a\ndata: {}\n\n", []rawEvent{{"1", "a", "{}"}}},
		{"without a space", "id:1\nevent:a\ndata:{}\n\n", []rawEvent{{"1", "a", "{}"}}},
		{"one space only is cut", "data:  x \n\n", []rawEvent{{"", "message", " x "}}},
		{"several lines", "data: a\ndata:\ndata: b\n\n", []rawEvent{{"", "message", "a\n\nb"}}},
		{"all line ends", "data: a\r\n\r\ndata: b\r\rdata: c\n\n", []rawEvent{{"", "message", "a"}, {"", "message", "b"}, {"", "message", "c"}}},
		{"many lines with CR LF", "id: 1\r\nevent: a\r\ndata: b\r\ndata: c\r\n\r\n", []rawEvent{{"1", "a", "b\nc"}}},
		{"a byte order mark later", "data: a\n\n\uFEFFdata: b\ndata: c\n\n", []rawEvent{{"", "message", "a"}, {"", "message", "c"}}},
		{"comments", ": hello\n\n:\ndata: a\n: x\n\n", []rawEvent{{"", "message", "a"}}},
		{"the id stays", "id: 1\ndata: a\n\ndata: b\n\nid\ndata: c\n\n", []rawEvent{{"1", "message", "a"}, {"1", "message", "b"}, {"", "message", "c"}}},
		{"an id without data counts", "id: 7\n\ndata: a\n\n", []rawEvent{{"7", "message", "a"}}},
		{"an id with NUL does not", "id: 7\n\nid: 8\x00\ndata: a\n\n", []rawEvent{{"7", "message", "a"}}},
		{"the name does not stay", "event: a\n\ndata: b\n\n", []rawEvent{{"", "message", "b"}}},
		{"unknown fields", "foo: 1\ndatax: 2\ndata: a\nDATA: b\n\n", []rawEvent{{"", "message", "a"}}},
		{"a byte order mark", "\uFEFFdata: a\n\n", []rawEvent{{"", "message", "a"}}},
		{"half an event", "data: a\n\ndata: b\n", []rawEvent{{"", "message", "a"}}},
		{"half a line", "data: a\n\ndata: b", []rawEvent{{"", "message", "a"}}},
		{"empty data", "data\n\ndata:\n\n", []rawEvent{{"", "message", ""}, {"", "message", ""}}},
		{"a byte of a mark", "\xEFdata: a\ndata: b\n\n", []rawEvent{{"", "message", "b"}}},
		{"nothing", "", nil},
	} {
		for _, r := range []io.Reader{strings.NewReader(test.stream), iotest.OneByteReader(strings.NewReader(test.stream))} {
			got, _, err := readEvents(r)
			if !reflect.DeepEqual(got, test.want) || !errors.Is(err, io.EOF) {
				t.Errorf("%s: got %q (%v), want %q", test.name, got, err, test.want)
			}
		}
	}
	for stream, want := range map[string]time.Duration{"retry: 2000\n": 2 * time.Second, "retry: x\n": 0, "retry: -1\n": 0, "retry: 99999999999999\n": 0} {
		if _, got, _ := readEvents(strings.NewReader(stream)); got != want {
			t.Errorf("%q: waits %v, want %v", stream, got, want)
		}
	}
}

// endless repeats a text.
type endless struct {
	text string
	read int
}

func (e *endless) Read(p []byte) (int, error) {
	n := 0
	for n < len(p) {
		m := copy(p[n:], e.text[(e.read+n)%len(e.text):])
		n += m
	}
	e.read += n
	return n, nil
}

func TestEventsAreBounded(t *testing.T) {
	for name, text := range map[string]string{"a line": "data: xxxxxxxx", "an event": "data: xxxxxxxx\n", "an empty line": "data\n"} {
		r := &endless{text: text}
		e := newEventReader(r)
		if e.most != 10<<20 {
			t.Errorf("%s: the bound is %d bytes, want 10 MiB", name, e.most)
		}
		e.most = 50000
		if _, err := e.next(); !errors.Is(err, ErrAnswer) || r.read > 300000 {
			t.Errorf("%s: %d bytes were taken: %v", name, r.read, err)
		}
	}
}

// reference reads a stream in the words of the standard, without bounds.
func reference(stream string) (list []rawEvent) {
	stream = strings.TrimPrefix(stream, "\uFEFF")
	stream = strings.ReplaceAll(strings.ReplaceAll(stream, "\r\n", "\n"), "\r", "\n")
	lines := strings.Split(stream, "\n")
	var data []string
	var name, id string
	for _, line := range lines[:len(lines)-1] {
		if line == "" {
			if len(data) > 0 {
				if name == "" {
					name = "message"
				}
				list = append(list, rawEvent{id, name, strings.Join(data, "\n")})
			}
			data, name = nil, ""
			continue
		}
		if line[0] == ':' {
			continue
		}
		field, value := line, ""
		if at := strings.IndexByte(line, ':'); at >= 0 {
			field, value = line[:at], line[at+1:]
			if value != "" && value[0] == ' ' {
				value = value[1:]
			}
		}
		switch {
		case field == "data":
			data = append(data, value)
		case field == "event":
			name = value
		case field == "id" && strings.IndexByte(value, 0) < 0:
			id = value
		}
	}
	return list
}

func FuzzEventsAreWhatTheStandardReads(f *testing.F) {
	for _, seed := range []string{"id: 1\nevent: a\ndata: {}\n\n", "data: a\r\n\r\ndata: b\r\rdata: c\n\n", "\uFEFFdata: a\n\n", ": c\nretry: 2000\n\ndata\n\n", "\xEF\xBBdata: a\n\n", "id:\x00\ndata:\n\n\r"} {
		f.Add(seed, uint8(1))
		f.Add(seed, uint8(7))
	}
	f.Fuzz(func(t *testing.T, stream string, size uint8) {
		got, wait, err := readEvents(&pieces{stream, max(int(size), 1)})
		if want := reference(stream); !reflect.DeepEqual(got, want) || !errors.Is(err, io.EOF) {
			t.Errorf("got %q (%v), want %q", got, err, want)
		}
		if wait < 0 {
			t.Errorf("waits %v", wait)
		}
		for _, raw := range got {
			if n := eventNumber(raw.id); n < 0 || n > 0 && strconv.FormatInt(n, 10) != strings.TrimLeft(strings.TrimPrefix(raw.id, "+"), "0") {
				t.Errorf("id %q is number %d", raw.id, n)
			}
			_, _ = turnEvent(raw) // must not panic
			_, _, _ = invokeEvent(raw)
		}
	})
}

// pieces gives a text in pieces of that size.
type pieces struct {
	text string
	size int
}

func (p *pieces) Read(b []byte) (int, error) {
	if p.text == "" {
		return 0, io.EOF
	}
	n := copy(b[:min(len(b), p.size)], p.text)
	p.text = p.text[n:]
	return n, nil
}
