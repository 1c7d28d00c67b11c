package intuno

import (
	"bufio"
	"fmt"
	"io"
	"strconv"
	"strings"
	"time"
)

// maxEvent bounds one line, and the data of one event, in bytes.
const maxEvent = maxAnswer

// rawEvent is one event as it was sent.
type rawEvent struct {
	id   string // of the last event that had one
	name string // "message" if the event has none
	data string
}

// eventReader reads an event stream as the HTML standard has it (§9.2.6, "Interpreting
// an event stream"), with bounds.
type eventReader struct {
	r     *bufio.Reader
	most  int // bytes of a line, and of the data of an event
	begun bool
	cr    bool // the last line ended with CR: an LF right behind it belongs to that end
	id    string
	wait  time.Duration // retry: how long to wait before reconnecting
}

func newEventReader(r io.Reader) *eventReader {
	return &eventReader{r: bufio.NewReader(r), most: maxEvent}
}

// next returns the next event with data. At the end of the stream it returns io.EOF,
// and what was not completed by a blank line is dropped.
func (e *eventReader) next() (rawEvent, error) {
	var name string
	var data strings.Builder
	var some bool
	for {
		line, err := e.line()
		if err != nil {
			return rawEvent{}, err
		}
		if line == "" {
			if some {
				if name == "" {
					name = "message"
				}
				return rawEvent{e.id, name, strings.TrimSuffix(data.String(), "\n")}, nil
			}
			name = ""
			continue
		}
		field, value, _ := strings.Cut(line, ":")
		value = strings.TrimPrefix(value, " ")
		switch field {
		case "event":
			name = value
		case "data":
			if data.Len()+len(value) > e.most {
				return rawEvent{}, fmt.Errorf("%w: an event of more than %d bytes", ErrAnswer, e.most)
			}
			data.WriteString(value)
			data.WriteByte('\n')
			some = true
		case "id":
			if !strings.Contains(value, "\x00") {
				e.id = value
			}
		case "retry":
			if ms, err := strconv.ParseUint(value, 10, 31); err == nil {
				e.wait = time.Duration(ms) * time.Millisecond
			}
		}
	}
}

// line returns the next line without its end, which is CR LF, LF or CR.
func (e *eventReader) line() (string, error) {
	var line []byte
	for {
		b, err := e.r.ReadByte()
		if err != nil {
			return "", err
		}
		if !e.begun {
			e.begun = true
			if b == 0xEF { // a byte order mark is no part of the first line
				if rest, err := e.r.Peek(2); err == nil && string(rest) == "\xBB\xBF" {
					_, _ = e.r.Discard(2) // they were peeked
					continue
				}
			}
		}
		if e.cr && b == '\n' {
			e.cr = false
			continue
		}
		e.cr = b == '\r'
		if b == '\r' || b == '\n' {
			return string(line), nil
		}
		if len(line) >= e.most {
			return "", fmt.Errorf("%w: a line of more than %d bytes", ErrAnswer, e.most)
		}
		line = append(line, b)
	}
}
