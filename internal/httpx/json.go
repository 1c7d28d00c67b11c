package httpx

import (
	"bytes"
	"errors"
	"fmt"
	"io"

	jsonv2 "github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
)

// maxDepth is the deepest nesting of arrays and objects that is read.
const maxDepth = 64

var (
	errTooDeep  = errors.New("nesting deeper than 64")
	errTrailing = errors.New("data after the value")
)

// parseJSON reads exactly one JSON value. jsontext refuses what RFC 7493 (I-JSON)
// refuses: syntax errors, invalid UTF-8, lone surrogates and a member name that
// occurs twice. Numbers stay as text (jsontext.Value), so none is rounded.
func parseJSON(data []byte) (any, error) {
	d := jsontext.NewDecoder(bytes.NewBuffer(data))
	v, err := readValue(d)
	if err != nil {
		return nil, err
	}
	if _, err := d.ReadToken(); !errors.Is(err, io.EOF) {
		return nil, errTrailing
	}
	return v, nil
}

func readValue(d *jsontext.Decoder) (any, error) {
	tok, err := d.ReadToken()
	if err != nil {
		return nil, err
	}
	switch tok.Kind() {
	case '{':
		return readObject(d)
	case '[':
		return readArray(d)
	case '"':
		return tok.String(), nil
	case '0':
		return jsontext.Value(tok.String()), nil
	case 't', 'f':
		return tok.Bool(), nil
	case 'n':
		return nil, nil
	}
	return nil, fmt.Errorf("unexpected %s", tok)
}

func readObject(d *jsontext.Decoder) (any, error) {
	if d.StackDepth() > maxDepth {
		return nil, errTooDeep
	}
	object := map[string]any{}
	for d.PeekKind() != '}' {
		name, err := d.ReadToken()
		if err != nil {
			return nil, err
		}
		key := name.String()
		if object[key], err = readValue(d); err != nil {
			return nil, err
		}
	}
	_, err := d.ReadToken()
	return object, err
}

func readArray(d *jsontext.Decoder) (any, error) {
	if d.StackDepth() > maxDepth {
		return nil, errTooDeep
	}
	array := []any{}
	for d.PeekKind() != ']' {
		v, err := readValue(d)
		if err != nil {
			return nil, err
		}
		array = append(array, v)
	}
	_, err := d.ReadToken()
	return array, err
}

// compactJSON removes white space from text that parseJSON accepted.
func compactJSON(data []byte) ([]byte, error) {
	v := jsontext.Value(bytes.Clone(data))
	if err := v.Compact(); err != nil {
		return nil, fmt.Errorf("compact JSON: %w", err)
	}
	return v, nil
}

// encodeJSON writes v: nil slices as [], no HTML escapes, map members in a fixed
// order.
func encodeJSON(w io.Writer, v any) error {
	return jsonv2.MarshalWrite(w, v, jsonv2.Deterministic(true))
}

// Object is a JSON object of any content in a request body, compact. Nil when the
// member was absent or null.
type Object []byte

// UnmarshalJSON implements json.Unmarshaler. The shape was checked before.
func (o *Object) UnmarshalJSON(b []byte) error {
	if string(b) == "null" {
		*o = nil
		return nil
	}
	compact, err := compactJSON(b)
	*o = compact
	return err
}

// Opt is a member of a PATCH body for which absent, null and a value differ.
type Opt[T any] struct {
	Set   bool // the member is present
	Null  bool // and null
	Value T
}

// UnmarshalJSON implements json.Unmarshaler.
func (o *Opt[T]) UnmarshalJSON(b []byte) error {
	o.Set = true
	if string(b) == "null" {
		o.Null = true
		return nil
	}
	return jsonv2.Unmarshal(b, &o.Value)
}
