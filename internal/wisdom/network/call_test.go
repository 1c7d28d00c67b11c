package network

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/IntunoAI/intuno-go/internal/clock"
	"github.com/IntunoAI/intuno-go/internal/fault"
	"github.com/IntunoAI/intuno-go/internal/id"
)

func TestAnAnswerIsTheResponseAndAMessage(t *testing.T) {
	long := strings.Repeat("é", maxContent+5)
	for _, c := range []struct {
		name, body     string
		want, text     string
		status, length int
	}{
		{"JSON", " {\"a\": 1.50, \"b\": [1e2, 12345678901234567890]}\n", `{"a":1.50,"b":[1e2,12345678901234567890]}`, `{"a":1.50,"b":[1e2,12345678901234567890]}`, 200, 0},
		{"any 2xx", `true`, `true`, `true`, 299, 0},
		{"a string", `"hé\u0000"`, `"hé\u0000"`, `"hé\u0000"`, 201, 0},
		{"an entity that says nothing", `{"content":null}`, `{"content":null}`, `{"content":null}`, 200, 0},
		{"no body", "", `null`, `null`, 204, 0},
		{"white space", " \r\n", `null`, `null`, 200, 0},
		{"text", "it is \"fine\"", `{"raw_response":"it is \"fine\""}`, `it is "fine"`, 200, 0},
		{"two values", `1 2`, `{"raw_response":"1 2"}`, `1 2`, 200, 0},
		{"a name twice", `{"a":1,"a":2}`, `{"raw_response":"{\"a\":1,\"a\":2}"}`, `{"a":1,"a":2}`, 200, 0},
		{"too deep", strings.Repeat("[", 65) + strings.Repeat("]", 65), `{"raw_response":"` + strings.Repeat("[", 65) + strings.Repeat("]", 65) + `"}`, strings.Repeat("[", 65) + strings.Repeat("]", 65), 200, 0},
		{"just deep enough", strings.Repeat("[", 64) + strings.Repeat("]", 64), strings.Repeat("[", 64) + strings.Repeat("]", 64), strings.Repeat("[", 64) + strings.Repeat("]", 64), 200, 0},
		{"no UTF-8", "a\xffb", `{"raw_response":"a` + "\uFFFD" + `b"}`, "a\uFFFDb", 200, 0},
		{"U+0000", "a\x00b", `{"raw_response":"a\u0000b"}`, "a\uFFFDb", 200, 0},
		{"long text", long, `{"raw_response":"` + long + `"}`, strings.Repeat("é", maxContent), 200, 0},
		{"long JSON", `"` + long + `"`, `"` + long + `"`, `"` + strings.Repeat("é", maxContent-1), 200, 0},
	} {
		r, p, say := newRoom(t)
		r.respond = func(context.Context, Outgoing) (Answer, error) {
			return Answer{Status: c.status, Body: []byte(c.body)}, nil
		}
		p.Depth = 2
		got, err := r.service(t).Call(t.Context(), p, "network", say)
		if err != nil {
			t.Errorf("%s: %v", c.name, err)
			continue
		}
		if string(got.Response) != c.want {
			t.Errorf("%s: got %.200s, want %.200s", c.name, got.Response, c.want)
		}
		out, reply := r.posted[0], r.posted[1]
		if out.ID != got.Message || out.Channel != Call || out.Status != Pending || out.Depth != 2 || out.Queue || out.Revision != 7 || out.Log != nil || out.Sender != ada || out.Recipient != bob {
			t.Errorf("%s: outgoing: %+v", c.name, out)
		}
		if left := out.CallUntil.Sub(out.Created); left < 30*time.Second || left > 40*time.Second {
			t.Errorf("%s: the call counts as dead after %v", c.name, left)
		}
		want := Message{ID: reply.ID, Network: "network", Sender: bob, Recipient: ada, Channel: Call, Content: c.text,
			Metadata: []byte(`{"in_reply_to":"` + string(out.ID) + `"}`), InReplyTo: out.ID, Status: Delivered, Depth: 3, Created: reply.Created, Updated: reply.Created}
		if fmt.Sprintf("%+v", reply.Message) != fmt.Sprintf("%+v", want) {
			t.Errorf("%s: reply: got %.300s, want %.300s", c.name, fmt.Sprintf("%+v", reply.Message), fmt.Sprintf("%+v", want))
		}
		if reply.Answers != out.ID || reply.Revision != 0 || reply.Queue || reply.ID == out.ID || reply.Created.Before(out.Created) {
			t.Errorf("%s: reply: %+v", c.name, reply)
		}
		if len(r.sent) != 1 || len(r.failed) != 0 {
			t.Errorf("%s: %d attempts, %d failed", c.name, len(r.sent), len(r.failed))
		}
	}
}

func TestACallThatFailsIsToldAndRecorded(t *testing.T) {
	for _, c := range []struct {
		name   string
		answer Answer
		err    error
		want   string
	}{
		{"a 500", Answer{Status: 500, Body: []byte(`{}`)}, nil, "target_unreachable"},
		{"a 410", Answer{Status: 410}, nil, "target_unreachable"},
		{"a 409 of the host", Answer{Status: 409}, nil, "target_unreachable"},
		{"a redirect", Answer{Status: 307}, nil, "target_unreachable"},
		{"a 199", Answer{Status: 199}, nil, "target_unreachable"},
		{"nobody there", Answer{}, fmt.Errorf("dial: %w", ErrUnreachable), "target_unreachable"},
		{"over 1 MiB", Answer{}, ErrTooLarge, "target_unreachable"},
		{"a failed task", Answer{}, ErrRefused, "target_unreachable"},
		{"a forbidden address", Answer{}, fault.New(fault.BadRequest, "unsafe_url", "no"), "target_unreachable"},
		{"too slow", Answer{}, fmt.Errorf("read: %w", ErrDeadline), "call_timeout"},
	} {
		for _, mine := range []bool{false, true} {
			r, p, say := newRoom(t)
			if mine {
				link := r.links["agent of bob"]
				link.Owner = "owner"
				r.links["agent of bob"] = link
			}
			r.respond = func(context.Context, Outgoing) (Answer, error) { return c.answer, c.err }
			_, err := r.service(t).Call(t.Context(), p, "network", say)
			wantCode(t, c.name, err, c.want)
			if f := fault.As(err); f != nil && (f.Kind == fault.Upstream) != (c.want == "target_unreachable") {
				t.Errorf("%s: got kind %d", c.name, f.Kind)
			}
			if len(r.posted) != 1 || len(r.failed) != 1 || r.failed[0] != r.posted[0].ID {
				t.Errorf("%s: %d stored, %v failed", c.name, len(r.posted), r.failed)
				continue
			}
			if (r.failLogs[0] != nil) != mine {
				t.Errorf("%s: got log %+v, want one only of an agent that the owner owns", c.name, r.failLogs[0])
			}
		}
	}
}

func TestACallSendsThePayloadOfACall(t *testing.T) {
	r, p, say := newRoom(t)
	if _, err := r.service(t).Call(t.Context(), p, "network", say); err != nil {
		t.Fatal(err)
	}
	o := r.sent[0]
	for _, part := range []string{`"channel":"call"`, `"content":"hello"`, `"reply_url":"https://api.example.org/networks/network/participants/bob/callback?sig=`} {
		if !strings.Contains(string(o.Body), part) {
			t.Errorf("%s is not in %s", part, o.Body)
		}
	}
	if o.URL != "https://bob.example.org/" || o.MaxBody != 1<<20 || o.Header["webhook-id"] != string(r.posted[0].ID) || o.Header["X-Request-ID"] != "request" {
		t.Errorf("got %s, %d bytes, %v", o.URL, o.MaxBody, o.Header)
	}
}

func TestACallIsAnsweredInTime(t *testing.T) {
	hang := func(ctx context.Context, _ Outgoing) (Answer, error) { <-ctx.Done(); return Answer{}, ErrDeadline }
	for _, c := range []struct {
		timeout, least time.Duration
	}{{0, 23 * time.Second}, {25 * time.Second, 23 * time.Second}, {2 * time.Second, time.Second}} {
		synctest.Test(t, func(t *testing.T) {
			r, p, say := newRoom(t)
			r.timeout, r.respond = c.timeout, hang
			ctx, leave := context.WithCancel(t.Context())
			time.AfterFunc(time.Second/2, leave) // the caller's leaving ends nothing
			began := clock.System()
			_, err := r.service(t).Call(ctx, p, "network", say)
			most := max(c.timeout, 2*time.Second)
			if c.timeout == 0 {
				most = 25 * time.Second
			}
			if took := clock.System().Sub(began); took > most || took < c.least {
				t.Errorf("%v: answered after %v", c.timeout, took)
			}
			wantCode(t, "a receiver that hangs", err, "call_timeout")
			if len(r.failed) != 1 {
				t.Errorf("%d calls failed, want 1", len(r.failed))
			}
		})
	}
}

func TestACallThatIsCutOffIsAnsweredAndRecorded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r, p, say := newRoom(t)
		r.respond = func(ctx context.Context, _ Outgoing) (Answer, error) { <-ctx.Done(); return Answer{}, ctx.Err() }
		link := r.links["agent of bob"]
		link.Owner = "owner" // so that it is logged
		r.links["agent of bob"] = link
		s := r.service(t)
		time.AfterFunc(2*time.Second, s.Cut)
		for i, want := range []time.Duration{2 * time.Second, 0} { // the second begins after the cut
			began := clock.System()
			_, err := s.Call(t.Context(), p, "network", say)
			wantCode(t, "cut off", err, "call_timeout")
			if took := clock.System().Sub(began); took != want || len(r.failed) != i+1 {
				t.Errorf("call %d: answered after %v, %d failed", i, took, len(r.failed))
			}
		}
		if l := r.failLogs[0]; l == nil || l.Code != "agent_timeout" || l.Status != 408 || l.Reached || l.Success {
			t.Errorf("got log %+v, want a timeout that does not count", l)
		}
	})
}

func TestAnAnswerIsKeptForACallerWhoLeft(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r, p, say := newRoom(t)
		ctx, leave := context.WithCancel(t.Context())
		r.respond = func(ctx context.Context, _ Outgoing) (Answer, error) {
			leave()
			select {
			case <-ctx.Done():
				return Answer{}, ctx.Err()
			case <-time.After(time.Second):
				return Answer{Status: 200, Body: []byte(`1`)}, nil
			}
		}
		if _, err := r.service(t).Call(ctx, p, "network", say); err != nil {
			t.Fatal(err)
		}
		if len(r.posted) != 2 || r.posted[1].Content != "1" {
			t.Errorf("got %+v", r.posted)
		}
	})
}

// slowRoom is one whose store hangs once the receiver has been asked.
type slowRoom struct{ *room }

func (r slowRoom) Post(ctx context.Context, d Draft) (Message, error) {
	if d.Answers != "" {
		<-ctx.Done()
		return Message{}, ctx.Err()
	}
	return r.room.Post(ctx, d)
}

func TestACallIsAnsweredInTimeThoughTheStoreHangs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r, p, say := newRoom(t)
		s := r.service(t)
		s.config.Store = slowRoom{r}
		began := clock.System()
		_, err := s.Call(t.Context(), p, "network", say)
		wantCode(t, "a store that hangs", err, "call_timeout")
		if took := clock.System().Sub(began); took > 25*time.Second {
			t.Errorf("answered after %v", took)
		}
	})
}

// goneRoom is one whose network is deleted while the receiver is asked.
type goneRoom struct{ *room }

func (r goneRoom) Post(ctx context.Context, d Draft) (Message, error) {
	if d.Answers != "" {
		return Message{}, fault.Missing("row")
	}
	return r.room.Post(ctx, d)
}

func TestACallInANetworkThatIsDeletedMeanwhileLeavesItsLog(t *testing.T) {
	r, p, say := newRoom(t)
	r.participant(bob).CallbackURL = nil // through the agent: logged
	s := r.service(t)
	s.config.Store = goneRoom{r}
	_, err := s.Call(t.Context(), p, "network", say)
	wantCode(t, "a deleted network", err, "not_found: Network not found")
	if len(r.failLogs) != 1 || r.failLogs[0] == nil || !r.failLogs[0].Success {
		t.Errorf("got logs %+v", r.failLogs)
	}
}

func TestCallsOfOneReceiverWaitForEachOther(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r, p, say := newRoom(t)
		s := r.service(t)
		var mu sync.Mutex
		now, most := map[string]int{}, map[string]int{}
		r.respond = func(ctx context.Context, o Outgoing) (Answer, error) {
			mu.Lock()
			now[o.URL]++
			most[o.URL] = max(most[o.URL], now[o.URL])
			mu.Unlock()
			defer func() { mu.Lock(); now[o.URL]--; mu.Unlock() }()
			if strings.Contains(o.URL, "bob") {
				<-ctx.Done()
				return Answer{}, ErrDeadline
			}
			return Answer{Status: 200}, nil
		}
		var group sync.WaitGroup
		for range callsAtOnce + 10 {
			group.Go(func() {
				if _, err := s.Call(t.Context(), p, "network", say); !fault.HasCode(err, "call_timeout") {
					t.Errorf("got %v, want call_timeout", err)
				}
			})
		}
		time.Sleep(time.Second)
		other := say
		other.Sender, other.Recipient = bob, ada
		if _, err := s.Call(t.Context(), p, "network", other); err != nil {
			t.Errorf("a call of another: %v", err)
		}
		group.Wait()
		if got := most["https://bob.example.org/"]; got != callsAtOnce {
			t.Errorf("%d calls at once, want %d", got, callsAtOnce)
		}
		if len(r.failed) != callsAtOnce+10 {
			t.Errorf("%d calls failed, want %d", len(r.failed), callsAtOnce+10)
		}
	})
}

func TestEndedIsToldOfEveryCall(t *testing.T) {
	var told []bool
	r, p, say := newRoom(t)
	s := r.service(t)
	s.config.Ended = func(channel string, success bool) {
		if channel != Call {
			t.Errorf("got %q", channel)
		}
		told = append(told, success)
	}
	_, first := s.Call(t.Context(), p, "network", say)
	r.respond = func(context.Context, Outgoing) (Answer, error) { return Answer{}, ErrUnreachable }
	_, second := s.Call(t.Context(), p, "network", say)
	say.Recipient = id.Participant("nobody")
	_, third := s.Call(t.Context(), p, "network", say) // which was none
	if fmt.Sprint(told) != "[true false]" || first != nil || second == nil || third == nil || errors.Is(third, second) {
		t.Errorf("got %v, %v, %v, %v", told, first, second, third)
	}
}
