package broker

import (
	"context"
	"errors"
	"reflect"
	"testing"

	"github.com/IntunoAI/intuno-go/internal/fault"
	"github.com/IntunoAI/intuno-go/internal/id"
	"github.com/IntunoAI/intuno-go/internal/principal"
)

func (s *scene) Payloads(context.Context, id.User, id.Invocation) ([]byte, []byte, error) {
	return nil, nil, fault.New(fault.NotFound, "not_found", "no rows")
}

// payloads is a store of rows that were said, and a note of who asked for which.
type payloads struct {
	*scene
	asked []string
	err   error
}

func (s *payloads) Payloads(_ context.Context, caller id.User, l id.Invocation) ([]byte, []byte, error) {
	s.asked = append(s.asked, string(caller)+" "+string(l))
	return []byte(`{"q":1}`), []byte(`{"a":1}`), s.err
}

func TestOnlyWhatTheCallerSaidAndTheListLeftOutIsRead(t *testing.T) {
	ada := principal.Principal{User: "ada"}
	for _, tt := range []struct {
		sentence string
		row      Log
		want     Log
		asked    []string
	}{
		{"left out of the list", Log{ID: "1", Caller: "ada", Large: true}, Log{ID: "1", Caller: "ada", Request: []byte(`{"q":1}`), Response: []byte(`{"a":1}`)}, []string{"ada 1"}},
		{"listed", Log{ID: "1", Caller: "ada", Request: []byte("{}")}, Log{ID: "1", Caller: "ada", Request: []byte("{}")}, nil},
		{"seen by the owner of the agent", Log{ID: "1", Large: true}.asOwner(), Log{ID: "1"}, nil},
		{"made by somebody else", Log{ID: "1", Caller: "bob", Large: true}, Log{ID: "1", Caller: "bob", Large: true}, nil},
	} {
		store := &payloads{}
		got, err := New(Config{Store: store}).Payloads(t.Context(), ada, tt.row)
		if err != nil || !reflect.DeepEqual(got, tt.want) || !reflect.DeepEqual(store.asked, tt.asked) {
			t.Errorf("a row %s: got %+v, %v, asked %q, want %+v, asked %q", tt.sentence, got, err, store.asked, tt.want, tt.asked)
		}
	}
	for _, err := range []error{fault.New(fault.NotFound, "not_found", "no rows"), errStore} {
		store := &payloads{err: err}
		if got, gotErr := New(Config{Store: store}).Payloads(t.Context(), ada, Log{ID: "1", Caller: "ada", Large: true}); !errors.Is(gotErr, err) || got.ID != "" || fault.Is(gotErr, fault.NotFound) != fault.Is(err, fault.NotFound) {
			t.Errorf("got %+v, %v, want %v", got, gotErr, err)
		}
	}
}
