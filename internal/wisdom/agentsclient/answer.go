package agentsclient

import (
	"bytes"
	"compress/gzip"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"strings"
	"sync"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/IntunoAI/intuno-go/internal/wisdom/personal"
)

// maxAnswer is the most that is read of an answer, on the wire and decompressed.
const maxAnswer = 1 << 20

var (
	errTooLarge = errors.New("answer larger than 1 MiB")
	errNotJSON  = errors.New("answer is not JSON")
	errShape    = errors.New("answer is JSON of the wrong type")
)

var decoders = sync.Pool{New: func() any { return new(jsontext.Decoder) }}

// members calls each for every member of a JSON object, and reports whether data is
// exactly one. Names come without quotes and escapes, and must not repeat: a second
// owner_user_id could hide the first.
func members(data []byte, each func(name, value jsontext.Value)) error {
	d, _ := decoders.Get().(*jsontext.Decoder)
	defer decoders.Put(d)
	d.Reset(bytes.NewBuffer(data)) // a Buffer is read in place
	if d.PeekKind() != '{' {
		return errShape
	}
	if err := object(d, each); err != nil {
		return err
	}
	return end(d)
}

func object(d *jsontext.Decoder, each func(name, value jsontext.Value)) error {
	if _, err := d.ReadToken(); err != nil {
		return err
	}
	var name []byte // the decoder's own is gone when the value is read
	for d.PeekKind() == '"' {
		quoted, err := d.ReadValue()
		if err != nil {
			return err
		}
		if name, err = jsontext.AppendUnquote(name[:0], quoted); err != nil {
			return err
		}
		value, err := d.ReadValue()
		if err != nil {
			return err
		}
		each(name, value)
	}
	_, err := d.ReadToken()
	return err
}

func end(d *jsontext.Decoder) error {
	if _, err := d.ReadToken(); !errors.Is(err, io.EOF) {
		return errNotJSON
	}
	return nil
}

// text returns the string of a JSON string.
func text(v jsontext.Value) string {
	s, err := jsontext.AppendUnquote(nil, v)
	if err != nil {
		return ""
	}
	return string(s)
}

// readObject fills in what a success whose JSON is an object says of its owner.
func readObject(a *personal.Answer) error {
	item, err := readItem(a.JSON)
	a.Owner, a.Owned = item.Owner, item.Owned
	return err
}

func readItem(data []byte) (personal.Item, error) {
	item := personal.Item{JSON: data}
	err := members(data, func(name, value jsontext.Value) {
		switch string(name) {
		case "owner_user_id":
			item.Owned = true
			if value.Kind() == '"' {
				item.Owner = text(value)
			}
		case "name":
			if value.Kind() == '"' {
				item.Name = text(value)
			}
		}
	})
	return item, err
}

// readList does the same for every element of a list of objects.
func readList(a *personal.Answer) error {
	d := jsontext.NewDecoder(bytes.NewBuffer(a.JSON))
	if d.PeekKind() != '[' {
		return errShape
	}
	if _, err := d.ReadToken(); err != nil {
		return err
	}
	a.Items = []personal.Item{}
	for d.PeekKind() == '{' {
		value, err := d.ReadValue()
		if err != nil {
			return err
		}
		to := int(d.InputOffset())
		item, err := readItem(a.JSON[to-len(value) : to : to])
		if err != nil {
			return err
		}
		a.Items = append(a.Items, item)
	}
	if token, err := d.ReadToken(); err != nil || token.Kind() != ']' {
		return errShape
	}
	return end(d)
}

// decoded returns the body as it was before Content-Encoding. It was not asked for,
// but some proxies compress all the same.
func decoded(header http.Header, body []byte, most int) ([]byte, error) {
	switch encodings := header["Content-Encoding"]; {
	case len(encodings) == 0, len(encodings) == 1 && strings.EqualFold(encodings[0], "identity"):
		return body, nil
	case len(encodings) > 1 || !strings.EqualFold(encodings[0], "gzip"):
		return nil, errors.New("answer has an unknown encoding")
	}
	r, err := gzip.NewReader(bytes.NewReader(body))
	if err != nil {
		return nil, fmt.Errorf("decompress answer: %w", err)
	}
	plain, err := io.ReadAll(io.LimitReader(r, int64(most)+1))
	if err != nil {
		return nil, fmt.Errorf("decompress answer: %w", err)
	}
	if len(plain) > most {
		return nil, errTooLarge
	}
	return plain, nil
}

// isJSON reports whether the answer claims to be JSON, or claims nothing.
func isJSON(header http.Header) bool {
	values := header["Content-Type"]
	if len(values) == 0 {
		return true
	}
	if len(values) > 1 {
		return false
	}
	if values[0] == "application/json" {
		return true
	}
	media, _, err := mime.ParseMediaType(values[0])
	return err == nil && (media == "application/json" || strings.HasPrefix(media, "application/") && strings.HasSuffix(media, "+json"))
}

// isEventStream reports whether the answer is an uncompressed event stream.
func isEventStream(header http.Header) bool {
	values := header["Content-Type"]
	if len(values) != 1 {
		return false
	}
	media, _, err := mime.ParseMediaType(values[0])
	return err == nil && media == "text/event-stream"
}
