package network

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/IntunoAI/intuno-go/internal/clock"
	"github.com/IntunoAI/intuno-go/internal/fault"
	"github.com/IntunoAI/intuno-go/internal/id"
	"github.com/IntunoAI/intuno-go/internal/principal"
)

// script is a room with a queue of one lane for bob, in memory.
type script struct {
	*room
	mu       sync.Mutex
	jobs     []Job
	due      time.Time
	claims   []Claim
	leased   time.Time
	renewals int
	renew    error
	lost     bool // the next renewal finds the lane gone
	settled  []Settlement
}

func newScript(t *testing.T, contents ...string) (*script, *Service) {
	r, _, _ := newRoom(t)
	s := &script{room: r}
	for i, content := range contents {
		m := Message{ID: id.NetworkMessage(fmt.Sprint("m", i)), Network: "network", Seq: int64(i + 1), Sender: ada, Recipient: bob, Channel: Push, Content: content, Status: Pending}
		r.posted = append(r.posted, Draft{Message: m})
		s.jobs = append(s.jobs, Job{Message: m, SenderStatus: Active, Actor: principal.Actor{Type: "user", ID: "owner"}, Request: "request"})
	}
	service := New(Config{Store: s, Agents: r, Platform: r, URLs: r, Sender: r, Keys: keyring(t), BaseURL: "https://api.example.org",
		Now: clock.System, Log: slog.New(slog.DiscardHandler), Jitter: func() float64 { return 0.5 }})
	return s, service
}

func (s *script) Claim(_ context.Context, c Claim) ([]Lane, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.claims = append(s.claims, c)
	if len(s.jobs) == 0 || s.due.After(c.Now) || s.leased.After(c.Now) {
		return nil, nil
	}
	s.leased = c.Lease
	return []Lane{{Recipient: bob, Network: "network", Owner: "owner", Worker: c.Worker}}, nil
}

func (s *script) Renew(_ context.Context, _ string, lanes []id.Participant, lease time.Time) ([]id.Participant, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.renewals++
	if s.renew != nil {
		return nil, s.renew
	}
	if s.lost {
		return nil, nil
	}
	s.leased = lease
	return lanes, nil
}

func (s *script) Load(_ context.Context, l Lane, after int64, limit int) (Load, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	load := Load{Lane: l, Network: s.state.Network, Recipient: *s.participant(bob)}
	for _, j := range s.jobs {
		if j.Seq > after && len(load.Jobs) < limit {
			load.Jobs = append(load.Jobs, j)
		}
	}
	return load, nil
}

func (s *script) Settle(_ context.Context, given Settlement) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.settled = append(s.settled, given)
	for _, o := range given.Done {
		if o.Ending == Retried {
			s.jobs[0].Attempts = o.Attempts
			continue
		}
		s.jobs = s.jobs[1:]
	}
	s.leased, s.due = time.Time{}, given.Due
	return nil
}

func (s *script) FailCalls(context.Context, time.Time) (int, error) { return 0, nil }

func (s *script) Purge(context.Context) (bool, error) { return false, nil }

func (s *script) OtherwiseSealed(context.Context, string, id.Participant, int) ([]Participant, error) {
	return nil, nil
}

// play runs service inside a bubble until the test stops it.
func play(t *testing.T, service *Service) (stop func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- service.Run(ctx) }()
	synctest.Wait()
	return func() {
		t.Helper()
		cancel()
		if err := <-ended; err != nil {
			t.Errorf("run: %v", err)
		}
	}
}

func hangs(ctx context.Context, _ Outgoing) (Answer, error) {
	<-ctx.Done()
	return Answer{}, ctx.Err()
}

func TestAnAttemptThatTakesLongKeepsItsLease(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, service := newScript(t, "hello")
		s.respond = hangs
		stop := play(t, service)
		defer stop()
		time.Sleep(29 * time.Second)
		synctest.Wait()
		s.mu.Lock()
		if s.renewals < 5 || len(s.settled) != 0 || s.leased.Before(time.Now().Add(5*time.Second)) {
			t.Errorf("%d renewals, %d settlements, leased until %v at %v", s.renewals, len(s.settled), s.leased, time.Now())
		}
		s.mu.Unlock()
		time.Sleep(2 * time.Second)
		synctest.Wait()
		s.mu.Lock()
		defer s.mu.Unlock()
		if len(s.settled) != 1 || s.settled[0].Done[0].Ending != Retried || s.settled[0].Done[0].Error != "the receiver did not answer in time" || !s.settled[0].Failing {
			t.Errorf("after 30 s: got %+v", s.settled)
		}
	})
}

func TestAnAttemptEndsWithItsLeaseAndCountsForNothing(t *testing.T) {
	for name, breaks := range map[string]func(s *script){
		"the store is away":      func(s *script) { s.renew = errors.New("away") },
		"another process has it": func(s *script) { s.lost = true },
	} {
		synctest.Test(t, func(t *testing.T) {
			s, service := newScript(t, "hello")
			var began, ended time.Time
			s.respond = func(ctx context.Context, o Outgoing) (Answer, error) {
				if began.IsZero() {
					began = time.Now()
					defer func() { ended = time.Now() }()
				}
				return hangs(ctx, o)
			}
			breaks(s)
			stop := play(t, service)
			defer stop()
			time.Sleep(14500 * time.Millisecond)
			synctest.Wait()
			if took := ended.Sub(began); took < 13*time.Second || took >= leaseTime {
				t.Errorf("%s: the attempt ended after %v, want a little less than the lease", name, took)
			}
			s.mu.Lock()
			defer s.mu.Unlock()
			if len(s.settled) == 0 || len(s.settled[0].Done) != 0 {
				t.Errorf("%s: settled %+v, want that nothing came of it", name, s.settled)
			}
		})
	}
}

func TestWaitsBetweenAttemptsAreThoseOfTheContract(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, service := newScript(t, "hello", "next")
		var times []time.Duration
		began := time.Now()
		s.respond = func(context.Context, Outgoing) (Answer, error) {
			times = append(times, time.Since(began).Round(time.Second))
			return Answer{Status: 500}, nil
		}
		stop := play(t, service)
		time.Sleep(10 * time.Minute)
		stop()
		want := []time.Duration{0, 2 * time.Second, 6 * time.Second, 14 * time.Second, 30 * time.Second, 62 * time.Second, 126 * time.Second, 254 * time.Second}
		for i := range want {
			if got := times[i] - want[i]; got < 0 || got > time.Duration(i)*time.Second { // a poll is up to half a second late
				t.Errorf("attempt %d after %v, want %v", i+1, times[i], want[i])
			}
		}
		last := s.settled[7].Done
		if last[0].Ending != GivenUp || last[0].Attempts != 8 {
			t.Errorf("in the end: got %+v", last)
		}
		if len(times) < 9 || times[8] > times[7]+time.Second {
			t.Errorf("the next one after %v, want at once after the end of the first", times[8:])
		}
	})
}

func TestBackoffIsCappedAndScattered(t *testing.T) {
	for _, test := range []struct {
		attempts int
		dice     float64
		answer   sent
		want     time.Duration
	}{
		{1, 0.5, sent{}, 2 * time.Second},
		{1, 0, sent{}, 1600 * time.Millisecond},
		{1, 1, sent{}, 2400 * time.Millisecond},
		{3, 0.5, sent{}, 8 * time.Second},
		{8, 0.5, sent{}, 256 * time.Second},
		{9, 0.5, sent{}, 300 * time.Second},
		{1000, 0.5, sent{}, 300 * time.Second},
		{1, 0.5, sent{Answer: Answer{Status: 429, RetryAfter: 7 * time.Second}}, 7 * time.Second},
		{1, 0.5, sent{Answer: Answer{Status: 503, RetryAfter: time.Hour}}, 300 * time.Second},
		{1, 0.5, sent{Answer: Answer{Status: 500, RetryAfter: 7 * time.Second}}, 2 * time.Second},
	} {
		s := &Service{config: Config{Backoff: 2 * time.Second, Jitter: func() float64 { return test.dice }}}
		if got := s.backoff(test.attempts, test.answer); got != test.want {
			t.Errorf("after %d attempts, dice %v, %+v: got %v, want %v", test.attempts, test.dice, test.answer, got, test.want)
		}
	}
}

func TestAStopLeavesAttemptsAMomentAndCountsNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, service := newScript(t, "hello")
		s.respond = hangs
		stop := play(t, service)
		began := time.Now()
		stop()
		if took := time.Since(began); took != endGrace {
			t.Errorf("stopped after %v, want %v", took, endGrace)
		}
		if len(s.settled) != 1 || len(s.settled[0].Done) != 0 || s.settled[0].Due.After(time.Now()) {
			t.Errorf("settled %+v, want the lane given back", s.settled)
		}
	})
}

// Nobody may take all the room of a process.
func TestWhatAProcessClaimsIsBounded(t *testing.T) {
	_, service := newScript(t)
	c := service.carrier
	for i := range mostOfOwner {
		c.held[&holding{Lane: Lane{Recipient: id.Participant(fmt.Sprint(i)), Owner: "greedy"}}] = struct{}{}
	}
	c.owners["greedy"], c.owners["modest"], c.failing = mostOfOwner, mostOfOwner-1, mostFailing-3
	if _, err := c.claim(t.Context(), 100); err != nil {
		t.Fatal(err)
	}
	s, _ := service.config.Store.(*script)
	got := s.claims[0]
	if got.Limit != 100 || got.Failing != 3 || len(got.Not) != 1 || got.Not[0] != "greedy" {
		t.Errorf("got %+v", got)
	}
}

func TestNothingIsClaimedWhileThePlatformIsHalted(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, service := newScript(t, "hello")
		s.halted = fault.New(fault.Unavailable, "platform_halted", "no")
		stop := play(t, service)
		defer stop()
		time.Sleep(10 * time.Second)
		synctest.Wait()
		s.mu.Lock()
		defer s.mu.Unlock()
		if len(s.claims) > 0 || len(s.settled) > 0 {
			t.Errorf("%d claims and %d settlements", len(s.claims), len(s.settled))
		}
	})
}

func TestALeaseThatWasRenewedEndsToo(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, service := newScript(t, "hello")
		began := time.Now()
		var took time.Duration
		s.respond = func(ctx context.Context, o Outgoing) (Answer, error) {
			defer func() {
				if took == 0 {
					took = time.Since(began)
				}
			}()
			return hangs(ctx, o)
		}
		stop := play(t, service)
		defer stop()
		time.Sleep(11 * time.Second) // after two renewals
		s.mu.Lock()
		s.renew = errors.New("away")
		s.mu.Unlock()
		time.Sleep(15 * time.Second)
		synctest.Wait()
		if took < 20*time.Second || took >= 10*time.Second+leaseTime {
			t.Errorf("the attempt ended after %v, want a little less than a lease after the last renewal", took)
		}
	})
}
