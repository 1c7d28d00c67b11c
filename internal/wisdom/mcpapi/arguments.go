package mcpapi

import (
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	jsonv2 "github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"github.com/IntunoAI/intuno-go/internal/fault"
	"github.com/IntunoAI/intuno-go/internal/id"
)

// arguments are what a tool is called with. The getters note what is wrong; err tells
// all of it at once. The module's own binding is not used: it reads numbers as float64
// and so would round those in input_data.
type arguments struct {
	members  map[string]jsontext.Value
	problems []fault.Problem
}

// readArguments takes a JSON object; absent and null are an empty one.
func readArguments(text []byte) (*arguments, error) {
	a := &arguments{}
	if len(text) == 0 {
		return a, nil
	}
	if jsonv2.Unmarshal(text, &a.members) != nil {
		return nil, fault.InvalidField("object_type", "must be an object", "arguments")
	}
	return a, nil
}

// value returns the member, or nil if it is absent or null.
func (a *arguments) value(name string) jsontext.Value {
	if v := a.members[name]; v.Kind() != 'n' {
		return v
	}
	return nil
}

func (a *arguments) wrong(name, typ, format string, args ...any) {
	a.problems = append(a.problems, fault.Problem{Type: typ, Loc: []any{"arguments", name}, Msg: fmt.Sprintf(format, args...)})
}

// err is nil or a fault with every problem.
func (a *arguments) err() error {
	if len(a.problems) == 0 {
		return nil
	}
	return fault.Problems(a.problems...)
}

// text is a required string of at most so many characters.
func (a *arguments) text(name string, most int) string {
	v := a.value(name)
	if v == nil {
		a.wrong(name, "missing", "is required")
		return ""
	}
	var s string
	if v.Kind() != '"' || jsonv2.Unmarshal(v, &s) != nil {
		a.wrong(name, "string_type", "must be a string")
	} else if utf8.RuneCountInString(s) > most {
		a.wrong(name, "string_too_long", "at most %d characters", most)
	}
	return s
}

// filled is text that is not empty.
func (a *arguments) filled(name string, most int) string {
	before := len(a.problems)
	s := a.text(name, most)
	if s == "" && len(a.problems) == before {
		a.wrong(name, "string_too_short", "at least 1 character")
	}
	return s
}

// optional is text, or nil for an absent one.
func (a *arguments) optional(name string, most int) *string {
	if a.value(name) == nil {
		return nil
	}
	s := a.text(name, most)
	return &s
}

// oneOf is an optional string out of a list.
func (a *arguments) oneOf(name, fallback string, list ...string) string {
	v := a.value(name)
	if v == nil {
		return fallback
	}
	var s string
	if v.Kind() != '"' || jsonv2.Unmarshal(v, &s) != nil {
		a.wrong(name, "string_type", "must be a string")
	} else if !slices.Contains(list, s) {
		a.wrong(name, "literal_error", "must be one of %s", strings.Join(list, ", "))
	}
	return s
}

// boolean is an optional true or false; absent is false.
func (a *arguments) boolean(name string) bool {
	v := a.value(name)
	if v != nil && v.Kind() != 't' && v.Kind() != 'f' {
		a.wrong(name, "bool_parsing", "must be true or false")
	}
	return v.Kind() == 't'
}

// integer is an optional whole number.
func (a *arguments) integer(name string, fallback int) int {
	v := a.value(name)
	if v == nil {
		return fallback
	}
	f, err := strconv.ParseFloat(string(v), 64) // JSON Schema takes 5.0 for an integer
	if v.Kind() != '0' || err != nil || f != math.Trunc(f) || math.Abs(f) > 1<<53 {
		a.wrong(name, "int_type", "must be an integer")
		return fallback
	}
	return int(f)
}

// within is an optional whole number with bounds.
func (a *arguments) within(name string, fallback, least, most int) int {
	n := a.integer(name, fallback)
	if n < least || n > most {
		a.wrong(name, "value_error", "must be %d to %d", least, most)
	}
	return n
}

// object is a required JSON object, as it was written.
func (a *arguments) object(name string) []byte {
	v := a.value(name)
	if v == nil {
		a.wrong(name, "missing", "is required")
	} else if v.Kind() != '{' {
		a.wrong(name, "object_type", "must be an object")
	}
	return v
}

// maxUUID lets a text be long enough to be told that it is no UUID.
const maxUUID = 1024

// uuidOf is an id in its canonical form (contract §1.2).
func uuidOf[T ~string](a *arguments, name string) T {
	before := len(a.problems)
	text := a.text(name, maxUUID)
	u, ok := id.Parse[T](text)
	if !ok && len(a.problems) == before {
		a.wrong(name, "uuid_parsing", "must be a UUID")
	}
	return u
}

// optionalUUID is uuidOf, or "" for an absent one.
func optionalUUID[T ~string](a *arguments, name string) T {
	if a.value(name) == nil {
		return ""
	}
	return uuidOf[T](a, name)
}

// detail is what a caller is told of a fault.
func detail(f *fault.Error) string {
	if len(f.Problems) == 0 {
		return f.Detail
	}
	texts := make([]string, len(f.Problems))
	for i, p := range f.Problems {
		texts[i] = p.Msg
		if len(p.Loc) > 0 {
			texts[i] = fmt.Sprintf("%v: %s", p.Loc[len(p.Loc)-1], p.Msg)
		}
	}
	return strings.Join(texts, "; ")
}
