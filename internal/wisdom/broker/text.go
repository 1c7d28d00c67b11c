package broker

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"strings"
	"unicode/utf8"

	jsonv2 "github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
)

const (
	// maxJSONDepth is the deepest nesting that counts as JSON: what agents send is held to
	// the rules for what clients send (contract §1.2).
	maxJSONDepth = 64
	// maxContent is the longest content of a message, in characters.
	maxContent = 65536
)

var (
	errDeepJSON = errors.New("nested deeper than 64 levels")
	errTrailing = errors.New("data after the value")
	emptyObject = []byte("{}")
)

// spoken are the members of an object that may say it in words, best first (contract
// §5.2).
var spoken = []string{"message", "query", "text", "content", "prompt", "input"}

// Text is what an object says in words: the first of its usual members that is a string
// and not blank, trimmed; else its JSON text (contract §5.2). object is a JSON object.
func Text(object []byte) string {
	if said := firstString(object, spoken, notBlank); said != "" {
		return strings.TrimSpace(said)
	}
	return string(object)
}

func notBlank(s string) bool { return strings.TrimSpace(s) != "" }

// firstString is the first of the named members, in the order of the names, that is a
// string and that wanted takes; "" if there is none or if object is no object.
func firstString(object []byte, names []string, wanted func(string) bool) string {
	var members map[string]jsontext.Value
	if len(object) == 0 || object[0] != '{' || jsonv2.Unmarshal(object, &members) != nil {
		return ""
	}
	for _, name := range names {
		if members[name].Kind() != '"' {
			continue
		}
		if s, err := jsontext.AppendUnquote(nil, members[name]); err == nil && wanted(string(s)) {
			return string(s)
		}
	}
	return ""
}

// storable is text as the content of a message: without U+0000, which PostgreSQL cannot
// keep, and cut to 65536 characters.
func storable(text string) string {
	text = strings.ReplaceAll(strings.ToValidUTF8(text, "\uFFFD"), "\x00", "\uFFFD")
	if len(text) <= maxContent || utf8.RuneCountInString(text) <= maxContent {
		return text
	}
	n := 0
	for i := range text {
		if n == maxContent {
			return text[:i]
		}
		n++
	}
	return text
}

// compact is the one JSON value that text is, without white space and otherwise as it
// was written: no number is rounded. What contract §1.2 does not take for well-formed is
// an error.
func compact(text []byte) ([]byte, error) {
	d := jsontext.NewDecoder(bytes.NewBuffer(text))
	for {
		if _, err := d.ReadToken(); err != nil {
			return nil, fmt.Errorf("read JSON: %w", err)
		}
		if d.StackDepth() > maxJSONDepth {
			return nil, errDeepJSON
		}
		if d.StackDepth() == 0 {
			break
		}
	}
	if _, err := d.ReadToken(); !errors.Is(err, io.EOF) {
		return nil, errTrailing
	}
	v := jsontext.Value(bytes.Clone(text))
	if err := v.Compact(); err != nil {
		return nil, fmt.Errorf("compact JSON: %w", err)
	}
	return v, nil
}

// textObject is {"text": text}.
func textObject(text string) []byte { return wrap("text", quote(text)) }

// quote is text as a JSON string. What is not UTF-8 is replaced.
func quote(text string) []byte {
	quoted, _ := jsontext.AppendQuote(nil, strings.ToValidUTF8(text, "\uFFFD")) // fails only for what is not UTF-8
	return quoted
}

// wrap is the object whose only member is name.
func wrap(name string, value []byte) []byte {
	return append(append([]byte(`{"`+name+`":`), value...), '}')
}
