package queue_test

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"

	"github.com/IntunoAI/intuno-go/internal/queue"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// store is rows that are due, as a test makes them up.
type store struct {
	mu      sync.Mutex
	due     []int
	claims  []int // the room of each
	failing error
	done    []int
	running int
	most    int           // that ran at a time
	slow    time.Duration // of a claim
	work    func(ctx context.Context, j int) error
}

func (s *store) claim(_ context.Context, room int) ([]int, error) {
	time.Sleep(s.slow)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.claims = append(s.claims, room)
	if s.failing != nil {
		return nil, s.failing
	}
	n := min(room, len(s.due))
	taken := s.due[:n]
	s.due = s.due[n:]
	return taken, nil
}

func (s *store) do(ctx context.Context, j int) error {
	s.mu.Lock()
	s.running++
	s.most = max(s.most, s.running)
	work := s.work
	s.mu.Unlock()
	var err error
	if work != nil {
		err = work(ctx, j)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.running--
	s.done = append(s.done, j)
	return err
}

func (s *store) add(n int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for range n {
		s.due = append(s.due, len(s.due))
	}
}

func (s *store) fail(err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.failing = err
}

func (s *store) count() (done, claims int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.done), len(s.claims)
}

// run runs a queue of s inside a bubble until the test stops it.
func run(t *testing.T, s *store, o queue.Options[int]) (q *queue.Queue[int], log *bytes.Buffer, stop func()) {
	t.Helper()
	log = new(bytes.Buffer)
	o.Name, o.Claim, o.Work, o.Log = "numbers", s.claim, s.do, slog.New(slog.NewTextHandler(log, nil))
	q = queue.New(o)
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- q.Run(ctx) }()
	synctest.Wait()
	return q, log, func() {
		t.Helper()
		cancel()
		if err := <-ended; err != nil {
			t.Errorf("run: %v", err)
		}
	}
}

func takes(d time.Duration) func(context.Context, int) error {
	return func(ctx context.Context, _ int) error {
		select {
		case <-time.After(d):
		case <-ctx.Done():
		}
		return nil
	}
}

func TestWhatIsDueIsDoneAtOnceAndWithinTheBounds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &store{work: takes(time.Second)}
		s.add(100)
		_, _, stop := run(t, s, queue.Options[int]{Room: 8, Batch: 5, Poll: time.Hour})
		began := time.Now()
		for done, _ := s.count(); done < 100; done, _ = s.count() {
			time.Sleep(time.Second)
			synctest.Wait()
		}
		if took := time.Since(began); took != 13*time.Second {
			t.Errorf("100 jobs of 1 s, 8 at a time: took %v, want 13s", took)
		}
		stop()
		if s.most != 8 {
			t.Errorf("%d jobs at a time, want 8", s.most)
		}
		for _, room := range s.claims {
			if room < 1 || room > 5 {
				t.Errorf("asked for %d jobs, want 1 to 5", room)
			}
		}
		seen := map[int]bool{}
		for _, j := range s.done {
			if seen[j] {
				t.Errorf("job %d was done twice", j)
			}
			seen[j] = true
		}
	})
}

// A queue that knew late of jobs that have ended would believe itself full, and claim them
// one by one.
func TestJobsThatHaveEndedMakeRoomBeforeTheNextClaim(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &store{slow: time.Millisecond}
		s.add(1600)
		_, _, stop := run(t, s, queue.Options[int]{Room: 64, Batch: 16, Poll: time.Hour})
		time.Sleep(time.Second)
		synctest.Wait()
		stop()
		if len(s.done) != 1600 {
			t.Errorf("%d jobs were done, want 1600", len(s.done))
		}
		for n, room := range s.claims {
			if room != 16 {
				t.Fatalf("claim %d: asked for %d jobs, want 16: all before it have ended", n, room)
			}
		}
	})
}

func TestItLooksWhenWokenAndNowAndThen(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &store{}
		q, _, stop := run(t, s, queue.Options[int]{Room: 4, Batch: 4, Poll: time.Minute})
		defer stop()
		s.add(1)
		time.Sleep(time.Second)
		synctest.Wait()
		if done, claims := s.count(); done != 0 || claims != 1 {
			t.Errorf("nobody told it: %d jobs done after %d looks, want 0 after 1", done, claims)
		}
		for range 100 { // they do not add up
			q.Wake()
		}
		synctest.Wait()
		if done, claims := s.count(); done != 1 || claims > 10 {
			t.Errorf("woken: %d jobs done after %d looks, want 1 after a few", done, claims)
		}
		_, before := s.count()
		s.add(1)
		time.Sleep(2 * time.Minute)
		synctest.Wait()
		if done, claims := s.count(); done != 2 || claims != before+2 {
			t.Errorf("two minutes later: %d jobs done after %d more looks, want 2 after 2", done, claims-before)
		}
	})
}

// Jobs that end all the time must not keep it from looking for those that nobody told it of.
func TestItLooksNowAndThenAlsoWhileItIsBusy(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &store{work: takes(700 * time.Millisecond)}
		s.add(3)
		_, _, stop := run(t, s, queue.Options[int]{Room: 8, Batch: 8, Poll: time.Second})
		defer stop()
		for range 20 {
			s.add(1)
			time.Sleep(time.Second)
		}
		time.Sleep(2 * time.Second)
		if done, _ := s.count(); done != 23 {
			t.Errorf("%d jobs done, want 23", done)
		}
	})
}

func TestItRestsWhileTheStoreIsAway(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &store{failing: errors.New("no connection")}
		s.add(1)
		q, log, stop := run(t, s, queue.Options[int]{Room: 4, Batch: 4, Poll: time.Second})
		defer stop()
		for range 240 { // waking does not end a rest
			time.Sleep(500 * time.Millisecond)
			q.Wake()
		}
		if _, claims := s.count(); claims < 5 || claims > 9 { // after 0, 1, 3, 7, 15, 31, 61, 91 s
			t.Errorf("looked %d times in 2 minutes", claims)
		}
		if n := strings.Count(log.String(), "numbers wait"); n != 1 || !strings.Contains(log.String(), "no connection") {
			t.Errorf("%d lines in the log, want one with the reason:\n%s", n, log)
		}
		s.fail(nil)
		time.Sleep(31 * time.Second)
		synctest.Wait()
		if done, _ := s.count(); done != 1 {
			t.Errorf("%d jobs done after the store came back, want 1", done)
		}
		s.fail(errors.New("gone again"))
		time.Sleep(3 * time.Second)
		synctest.Wait()
		if n := strings.Count(log.String(), "numbers wait"); n != 2 {
			t.Errorf("%d lines in the log, want a second one:\n%s", n, log)
		}
	})
}

func TestItRestsWhenAJobSaysSo(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		away := errors.New("the peer is away")
		s := &store{work: func(context.Context, int) error { return away }}
		s.add(1000)
		_, log, stop := run(t, s, queue.Options[int]{Room: 4, Batch: 4, Poll: time.Second})
		defer stop()
		time.Sleep(2 * time.Minute)
		if done, _ := s.count(); done < 16 || done > 40 {
			t.Errorf("%d jobs tried in 2 minutes", done)
		}
		if n := strings.Count(log.String(), "numbers wait"); n != 1 {
			t.Errorf("%d lines in the log, want 1:\n%s", n, log)
		}
		s.mu.Lock()
		s.work = nil
		s.mu.Unlock()
		time.Sleep(31 * time.Second)
		synctest.Wait()
		if done, _ := s.count(); done < 1000 {
			t.Errorf("%d jobs done, want all", done)
		}
	})
}

func TestTheEndLeavesJobsTheirGrace(t *testing.T) {
	for _, test := range []struct {
		name         string
		grace, takes time.Duration
		want         time.Duration
	}{
		{"a job that ends in time", 5 * time.Second, 3 * time.Second, 3 * time.Second},
		{"a job that does not", 5 * time.Second, time.Hour, 5 * time.Second},
		{"no grace", 0, time.Hour, 0},
	} {
		synctest.Test(t, func(t *testing.T) {
			s := &store{work: takes(test.takes)}
			s.add(10)
			_, _, stop := run(t, s, queue.Options[int]{Room: 4, Batch: 4, Poll: time.Second, Grace: test.grace})
			began := time.Now()
			stop()
			if took := time.Since(began); took != test.want {
				t.Errorf("%s: ended after %v, want %v", test.name, took, test.want)
			}
			if done, _ := s.count(); done != 4 {
				t.Errorf("%s: %d jobs were begun, want 4: none after the end", test.name, done)
			}
		})
	}
}

// What was claimed when the end came is worked on, or given back, by Work: nobody else
// knows of it.
func TestNoClaimIsLost(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &store{}
		s.add(3)
		claiming, proceed := make(chan struct{}), make(chan struct{})
		claim := func(ctx context.Context, room int) ([]int, error) {
			close(claiming)
			<-proceed
			if err := ctx.Err(); err != nil {
				t.Errorf("the claim was broken off: %v", err)
			}
			return s.claim(ctx, room)
		}
		q := queue.New(queue.Options[int]{Claim: claim, Work: s.do, Room: 4, Batch: 4, Poll: time.Second, Log: slog.New(slog.DiscardHandler)})
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan error, 1)
		go func() { ended <- q.Run(ctx) }()
		<-claiming
		cancel()
		synctest.Wait()
		close(proceed)
		if err := <-ended; err != nil || len(s.done) != 3 {
			t.Errorf("got %v, %d jobs, want 3", err, len(s.done))
		}
	})
}

func TestAPanicEndsOneJobOnly(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &store{work: func(_ context.Context, j int) error {
			if j == 2 {
				panic("job 2 is broken")
			}
			return nil
		}}
		s.add(10)
		_, log, stop := run(t, s, queue.Options[int]{Room: 2, Batch: 2, Poll: time.Second})
		time.Sleep(time.Minute)
		stop()
		if done, _ := s.count(); done != 9 || !strings.Contains(log.String(), "job 2 is broken") {
			t.Errorf("%d jobs done, want the 9 others; log:\n%s", done, log)
		}
	})
}
