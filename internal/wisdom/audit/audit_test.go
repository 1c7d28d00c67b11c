package audit_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/IntunoAI/intuno-go/internal/id"
	"github.com/IntunoAI/intuno-go/internal/principal"
	"github.com/IntunoAI/intuno-go/internal/sqldb"
	"github.com/IntunoAI/intuno-go/internal/testkit"
	"github.com/IntunoAI/intuno-go/internal/wisdom/audit"
	"github.com/IntunoAI/intuno-go/internal/wisdom/store"
)

var noon = time.Date(2026, 4, 23, 12, 0, 0, 0, time.UTC)

func open(t *testing.T, url string) *store.Store {
	t.Helper()
	db, err := sqldb.Open(t.Context(), sqldb.Options{URL: url, Migrations: store.Migrations(), Service: "wisdom"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = db.Close() })
	return store.New(db)
}

func TestRecordIsThereBeforeTheChangeAndCompleteAfterIt(t *testing.T) {
	testkit.Engines(t, func(t *testing.T, newURL func() string) {
		now := testkit.NewClock(noon)
		log := audit.New(open(t, newURL()), now.Now)
		p := principal.Principal{User: id.New[id.User](), Via: principal.Delegation}
		want := audit.Record{
			At: noon, Event: audit.Delegated, RequestID: "r-1", Actor: principal.Actor{Type: "service", ID: "wisdom-agents"},
			Subject: p.User, Method: "POST", Route: "/registry/agents", Status: audit.Interrupted,
		}
		given := want
		given.At, given.Event, given.ID, given.Status = time.Time{}, "", "", 299 // not the caller's to say
		given.Actor = p.Actor()
		finish, err := log.Begin(t.Context(), given)
		if err != nil {
			t.Fatal(err)
		}
		latest := func() audit.Record {
			t.Helper()
			list, err := log.Recent(t.Context(), audit.Record{}, 1)
			if err != nil || len(list) != 1 {
				t.Fatalf("got %v, %v, want one record", list, err)
			}
			want.ID = list[0].ID
			return list[0]
		}
		if got := latest(); got != want {
			t.Errorf("before the change: got %+v, want %+v", got, want)
		}
		now.Add(time.Second)
		if err := finish(t.Context(), 201); err != nil {
			t.Fatal(err)
		}
		want.Status = 201
		if got := latest(); got != want {
			t.Errorf("after the change: got %+v, want %+v", got, want)
		}
	})
}

func TestRefusedKeyHasNoSubject(t *testing.T) {
	log := audit.New(open(t, testkit.SQLite(t)), testkit.NewClock(noon).Now)
	err := log.Refused(t.Context(), audit.Record{RequestID: "r-2", Subject: id.New[id.User](), Method: "GET", Route: "/registry/discover", Status: 401})
	if err != nil {
		t.Fatal(err)
	}
	list, err := log.Recent(t.Context(), audit.Record{}, 10)
	if err != nil || len(list) != 1 {
		t.Fatalf("got %v, %v, want one record", list, err)
	}
	want := audit.Record{ID: list[0].ID, At: noon, Event: audit.KeyRefused, RequestID: "r-2", Actor: principal.Actor{Type: "unknown"},
		Method: "GET", Route: "/registry/discover", Status: 401}
	if list[0] != want {
		t.Errorf("got %+v, want %+v", list[0], want)
	}
}

var errFull = errors.New("disk full")

type full struct{ audit.Store }

func (full) InsertAudit(context.Context, audit.Record) error { return errFull }

func TestWithoutRecordNothingMayHappen(t *testing.T) {
	log := audit.New(full{}, testkit.NewClock(noon).Now)
	finish, err := log.Begin(t.Context(), audit.Record{})
	if finish != nil || !errors.Is(err, errFull) {
		t.Errorf("got %v, want the store's error and nothing to finish", err)
	}
	if err := log.Refused(t.Context(), audit.Record{}); !errors.Is(err, errFull) {
		t.Errorf("got %v, want the store's error", err)
	}
}
