package personal_test

import (
	"errors"
	"fmt"
	"io"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/IntunoAI/intuno-go/internal/fault"
	"github.com/IntunoAI/intuno-go/internal/principal"
	"github.com/IntunoAI/intuno-go/internal/wisdom/auth"
	"github.com/IntunoAI/intuno-go/internal/wisdom/personal"
)

// Every route with an object for an answer, by whose object comes back.
func TestAForeignAnswerIsA404AndNothingIsChanged(t *testing.T) {
	b := newBench(t)
	p := b.user(t, auth.Free)
	one := func(_ personal.Answer, err error) error { return err }
	routes := []struct {
		name   string
		call   func() error
		strict bool          // the answer is an entity: it must carry its owner
		asked  []personal.Op // of a host that is asked about a foreign entity
	}{
		{"get", func() error { return one(b.Get(t.Context(), p, "aria")) }, true, []personal.Op{personal.GetEntity}},
		{"patch", func() error { return one(b.Patch(t.Context(), p, "aria", []byte(`{"x":1}`))) }, true, []personal.Op{personal.GetEntity}},
		{"delete", func() error { return b.Delete(t.Context(), p, "aria") }, true, []personal.Op{personal.GetEntity}},
		{"pause", func() error { return one(b.Pause(t.Context(), p, "aria", nil)) }, true, []personal.Op{personal.PauseEntity}},
		{"resume", func() error { return one(b.Resume(t.Context(), p, "aria")) }, true, []personal.Op{personal.ResumeEntity}},
		{"delete memory", func() error { return b.DeleteMemory(t.Context(), p, "aria", "k") }, true, []personal.Op{personal.GetEntity}},
		{"forget", func() error { return b.Forget(t.Context(), p, "aria") }, true, []personal.Op{personal.GetEntity}},
		{"memory", func() error { return one(b.Memory(t.Context(), p, "aria", "k")) }, false, []personal.Op{personal.GetMemory}},
		{"put memory", func() error { return one(b.PutMemory(t.Context(), p, "aria", "k", []byte(`{}`))) }, false, []personal.Op{personal.PutMemory}},
		{"send", func() error { b.clock.Add(time.Hour); return one(b.Send(t.Context(), p, "aria", "hi", "")) }, false, []personal.Op{personal.SendMessage}},
	}
	for _, r := range routes {
		for owner, mine := range map[string]bool{string(p.User): true, "": false, "7C9E6679-7425-40DE-944B-E07FC1F90AE7": false} {
			b.host.do = answers(personal.Answer{Status: 200, JSON: []byte(`{}`), Owner: owner, Owned: true}, nil)
			err := r.call()
			asked := b.host.ops()
			if mine && err != nil || !mine && (!fault.Is(err, fault.NotFound) || !slices.Equal(asked, r.asked)) {
				t.Errorf("%s, owner %q: got %v after %v", r.name, owner, err, asked)
			}
		}
		b.host.do = answers(personal.Answer{Status: 200, JSON: []byte(`{}`)}, nil)
		if err := r.call(); r.strict && !fault.Is(err, fault.NotFound) || !r.strict && err != nil {
			t.Errorf("%s, without an owner: got %v", r.name, err)
		}
		b.host.ops()
	}
}

func TestForeignElementsOfListsAreDropped(t *testing.T) {
	b := newBench(t)
	p := b.user(t, auth.Pro)
	item := func(json, owner string, owned bool) personal.Item {
		return personal.Item{JSON: []byte(json), Owner: owner, Owned: owned}
	}
	mine, mine2, foreign, bare := item(`{"a":1}`, string(p.User), true), item(`{"a":2}`, string(p.User), true), item(`{"b":1}`, "b", true), item(`{"c":1}`, "", false)
	tests := []struct {
		items          []personal.Item
		entities, rest string
	}{
		{[]personal.Item{mine, mine2}, "as it came", "as it came"},
		{[]personal.Item{}, "as it came", "as it came"},
		{[]personal.Item{foreign, mine, foreign, mine2}, `[{"a":1},{"a":2}]`, `[{"a":1},{"a":2}]`},
		{[]personal.Item{mine, bare}, `[{"a":1}]`, "as it came"},
		{[]personal.Item{foreign, bare}, `[]`, `[{"c":1}]`},
	}
	for i, tt := range tests {
		b.host.do = answers(personal.Answer{Status: 200, JSON: []byte("as it came"), Items: tt.items}, nil)
		list, err1 := b.List(t.Context(), p)
		messages, err2 := b.Messages(t.Context(), p, "aria", 50, "")
		memories, err3 := b.Memories(t.Context(), p, "aria", 100, "", "")
		if err := errors.Join(err1, err2, err3); err != nil || string(list.JSON) != tt.entities ||
			string(messages.JSON) != tt.rest || string(memories.JSON) != tt.rest {
			t.Errorf("%d: got %s, %s, %s, %v, want %s and %s", i, list.JSON, messages.JSON, memories.JSON, err, tt.entities, tt.rest)
		}
	}
}

func TestAnEmptyPatchIsRefused(t *testing.T) {
	b := newBench(t)
	_, err := b.Patch(t.Context(), b.user(t, auth.Free), "aria", []byte(`{}`))
	if !fault.HasCode(err, "empty_patch") || !fault.Is(err, fault.BadRequest) || len(b.host.calls) > 0 {
		t.Errorf("got %v and %v, want 400 and nothing sent", err, b.host.calls)
	}
}

func TestCallsCarryTheirValues(t *testing.T) {
	b := newBench(t)
	p := b.user(t, auth.Free)
	b.host.do = answers(entityOf(p), nil)
	b.host.open = func(personal.Call) (personal.Stream, error) {
		return personal.Stream{Body: io.NopCloser(strings.NewReader("{}"))}, nil
	}
	ctx := t.Context()
	_, err := b.Pause(ctx, p, "aria", []byte(`{"reason":"x"}`))
	_, err2 := b.Messages(ctx, p, "aria", 7, "m")
	_, err3 := b.Memories(ctx, p, "aria", 8, "pre", "af")
	_, err4 := b.PutMemory(ctx, p, "aria", "k", []byte(`{"value":"v"}`))
	_, err5 := b.Send(ctx, p, "aria", "a\"<é\u2028", "once")
	_, err6 := b.SendStream(ctx, p, "aria", "b", "once")
	_, err7 := b.Export(ctx, p, "aria")
	if err := errors.Join(err, err2, err3, err4, err5, err6, err7); err != nil {
		t.Fatal(err)
	}
	call := func(op personal.Op, c personal.Call) personal.Call {
		c.Op, c.User, c.RequestID, c.Name = op, p.User, "req-7", "aria"
		return c
	}
	want := []personal.Call{
		call(personal.PauseEntity, personal.Call{Body: []byte(`{"reason":"x"}`)}),
		call(personal.ListMessages, personal.Call{Limit: 7, Before: "m"}),
		call(personal.ListMemories, personal.Call{Limit: 8, Prefix: "pre", After: "af"}),
		call(personal.PutMemory, personal.Call{Key: "k", Body: []byte(`{"value":"v"}`)}),
		call(personal.SendMessage, personal.Call{Once: "once", Body: []byte(`{"content":"a\"\u003cé\u2028"}`)}),
		call(personal.StreamMessage, personal.Call{Once: "once", Body: []byte(`{"content":"b"}`)}),
		call(personal.ExportEntity, personal.Call{}),
	}
	for i, c := range want {
		if got := b.host.calls[i]; !reflect.DeepEqual(got, c) {
			t.Errorf("got %+v (%s), want %+v (%s)", got, got.Body, c, c.Body)
		}
	}
}

func TestLastEventIDIsANumberOrNothing(t *testing.T) {
	b := newBench(t)
	p := b.user(t, auth.Free)
	b.host.open = func(personal.Call) (personal.Stream, error) { return personal.Stream{}, nil }
	for last, want := range map[string]string{"": "", "0": "0", "7": "7", "007": "7", "9223372036854775807": "9223372036854775807", "99999999999999999999999": "9223372036854775807"} {
		_, err := b.Events(t.Context(), p, "aria", "m", last)
		if c := b.host.calls[len(b.host.calls)-1]; err != nil || c.After != want || c.Message != "m" {
			t.Errorf("%q: got %+v, %v, want after %q", last, c, err, want)
		}
	}
	b.host.calls = nil
	for _, last := range []string{"-1", "+1", "1.0", "x", "0x1", "1 ", "1, 2", "٣"} {
		if _, err := b.Events(t.Context(), p, "aria", "m", last); !fault.Is(err, fault.BadRequest) || !fault.HasCode(err, "bad_request") {
			t.Errorf("%q: got %v, want 400", last, err)
		}
	}
	if len(b.host.calls) > 0 {
		t.Errorf("the host was asked %v, want nothing", b.host.calls)
	}
}

type body struct {
	io.Reader
	closed bool
}

func (b *body) Close() error { b.closed = true; return nil }

func TestAnExportIsPassedOnIfItsEntityIsTheUsers(t *testing.T) {
	b := newBench(t)
	p := b.user(t, auth.Free)
	mine := `{"version":1,"entity":{"name":"aria","owner_user_id":"` + string(p.User) + `"},"messages":["` + strings.Repeat("x", 2<<20) + `"]}`
	late := `{"messages":["` + strings.Repeat("x", 2<<20) + `"],"entity":{}}`
	tests := map[string]struct {
		text string
		kind fault.Kind // 0: passed on
	}{
		"the user's":           {mine, 0},
		"without an entity":    {`{"version":1} `, 0},
		"entity too far":       {late, 0},
		"foreign":              {strings.Replace(mine, string(p.User), "someone", 1), fault.NotFound},
		"without an owner":     {strings.Replace(mine, "owner_user_id", "owner", 1), fault.NotFound},
		"owner of wrong type":  {`{"entity":{"owner_user_id":7}}`, fault.NotFound},
		"entity of wrong type": {`{"entity":7}`, fault.Upstream},
		"a list":               {`[]`, fault.Upstream},
		"cut at once":          {`{"version":1,"ent`, fault.Upstream},
		"empty":                {``, fault.Upstream},
		"HTML":                 {`<html>`, fault.Upstream},
	}
	for name, tt := range tests {
		source := &body{Reader: strings.NewReader(tt.text)}
		b.host.open = func(personal.Call) (personal.Stream, error) { return personal.Stream{Body: source}, nil }
		s, err := b.Export(t.Context(), p, "aria")
		if tt.kind != 0 {
			if !fault.Is(err, tt.kind) || !source.closed || s.Body != nil {
				t.Errorf("%s: got %v, closed %v, want kind %d and the stream closed", name, err, source.closed, tt.kind)
			}
			continue
		}
		if err != nil {
			t.Errorf("%s: got %v, want it passed on", name, err)
			continue
		}
		if got, err := io.ReadAll(s.Body); string(got) != tt.text || err != nil {
			t.Errorf("%s: got %d bytes, %v, want all %d", name, len(got), err, len(tt.text))
		}
	}
}

func TestMessagesAreLimitedPerMinuteAndMonth(t *testing.T) {
	b := newBench(t)
	p := b.user(t, auth.Free) // 2 a minute, 5 a month
	b.host.do = answers(personal.Answer{Status: 201, JSON: []byte(`{}`)}, nil)
	b.clock.Add(30*time.Second + 500*time.Millisecond)
	send := func() *fault.Error {
		_, err := b.Send(t.Context(), p, "aria", "hi", "")
		return fault.As(err)
	}
	steps := []struct {
		wait  time.Duration
		code  string
		after time.Duration
	}{
		{0, "", 0}, {0, "", 0},
		{0, "message_rate_limited", 29*time.Second + 500*time.Millisecond},
		{29 * time.Second, "message_rate_limited", time.Second}, // half a second is left
		{500 * time.Millisecond, "", 0}, {0, "", 0}, {0, "message_rate_limited", time.Minute},
		{time.Minute, "", 0},
		{0, "message_quota_exceeded", 7*24*time.Hour + 12*time.Hour - 2*time.Minute},
		{7*24*time.Hour + 12*time.Hour - 2*time.Minute, "", 0}, // the first of May
	}
	for i, s := range steps {
		b.clock.Add(s.wait)
		sent := len(b.host.calls)
		f := send()
		switch {
		case s.code == "" && f != nil:
			t.Errorf("step %d: got %v, want it sent", i, f)
		case s.code != "" && (f == nil || f.Code != s.code || f.Kind != fault.RateLimited || f.RetryAfter != s.after):
			t.Errorf("step %d: got %+v, want %s and %v", i, f, s.code, s.after)
		case s.code != "" && len(b.host.calls) != sent:
			t.Errorf("step %d: the host was asked", i)
		}
	}
	usage, err := b.Usage(t.Context(), p)
	want := personal.Usage{Plan: "free", Limits: b.Free, Messages: 1, ResetsAt: time.Date(2026, 6, 1, 0, 0, 0, 0, time.UTC)}
	if err != nil || usage != want {
		t.Errorf("got %+v, %v, want %+v", usage, err, want)
	}
}

func TestARefusedOrReplayedMessageIsGivenBack(t *testing.T) {
	b := newBench(t)
	tests := []struct {
		name     string
		replayed bool
		err      error
		counted  int
	}{
		{"accepted", false, nil, 1},
		{"replayed", true, nil, 0},
		{"404", false, errMissing, 0},
		{"409", false, refusal(fault.Conflict), 0},
		{"422", false, refusal(fault.Invalid), 0},
		{"never sent", false, errUnsent(), 0},
		{"unknown", false, errHost, 1},
	}
	for _, tt := range tests {
		b.host.do = answers(personal.Answer{Status: 201, JSON: []byte(`{}`), Replayed: tt.replayed}, tt.err)
		b.host.open = func(personal.Call) (personal.Stream, error) { return personal.Stream{Replayed: tt.replayed}, tt.err }
		for kind, send := range map[string]func(p principal.Principal) error{
			"send": func(p principal.Principal) error { _, err := b.Send(t.Context(), p, "aria", "hi", "k"); return err },
			"stream": func(p principal.Principal) error {
				_, err := b.SendStream(t.Context(), p, "aria", "hi", "k")
				return err
			},
		} {
			p := b.user(t, auth.Free)
			if err := send(p); !errors.Is(err, tt.err) {
				t.Errorf("%s %s: got %v, want %v", tt.name, kind, err, tt.err)
			}
			_, c, err := b.store.Counters(t.Context(), p.User)
			if err != nil || c.InMinute != tt.counted || c.InMonth != tt.counted {
				t.Errorf("%s %s: got %+v, %v, want %d counted", tt.name, kind, c, err, tt.counted)
			}
		}
	}
}

// A message that is given back in the next minute is not taken from its count.
func TestGivingBackStaysInItsWindow(t *testing.T) {
	b := newBench(t)
	p := b.user(t, auth.Pro)
	b.host.do = func(c personal.Call) (personal.Answer, error) {
		if c.Once != "slow" {
			return personal.Answer{Status: 201, JSON: []byte(`{}`)}, nil
		}
		b.clock.Add(time.Minute)
		_, err := b.Send(t.Context(), p, "aria", "hi", "quick")
		return personal.Answer{}, errors.Join(refusal(fault.Conflict), err)
	}
	_, err := b.Send(t.Context(), p, "aria", "hi", "slow")
	wantKind(t, err, fault.Conflict)
	_, c, err := b.store.Counters(t.Context(), p.User)
	if err != nil || c.InMinute != 1 || c.InMonth != 1 {
		t.Errorf("got %+v, %v, want the quick message only", c, err)
	}
}

func TestAPlanDecidesTheLimits(t *testing.T) {
	b := newBench(t)
	for plan, limit := range map[auth.Plan]int{auth.Free: 1, auth.Pro: 3} {
		p := b.user(t, plan)
		b.host.do = answers(entityOf(p), nil)
		for i := range limit + 1 {
			_, err := b.Create(t.Context(), p, named(fmt.Sprintf("e%d", i)), "")
			if over := fault.HasCode(err, "entity_quota_exceeded"); over != (i == limit) {
				t.Errorf("%s, entity %d: got %v", plan, i+1, err)
			}
		}
		usage, err := b.Usage(t.Context(), p)
		if err != nil || usage.Entities != limit || usage.Limits.Entities != limit || usage.Plan != string(plan) {
			t.Errorf("%s: got %+v, %v, want %d of %d", plan, usage, err, limit, limit)
		}
	}
}
