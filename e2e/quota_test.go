package e2e

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/IntunoAI/intuno-go/internal/testkit"
)

// slowHost stands in for wisdom-agents: it keeps entities in memory, takes its time,
// and remembers the most that one user ever had.
type slowHost struct {
	*httptest.Server
	delay time.Duration

	mu       sync.Mutex
	entities map[string]map[string]bool // by user and name
	most     int
	stall    chan struct{} // when set, creates wait for it to close
	stored   bool          // whether a stalled create is stored before it waits
	arrived  chan string   // users whose create has arrived while stalled
}

func newSlowHost(t *testing.T, delay time.Duration) *slowHost {
	h := &slowHost{delay: delay, entities: map[string]map[string]bool{}, arrived: make(chan string, 1)}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /health", func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte(`{"status":"healthy"}`)) })
	mux.HandleFunc("POST /entities", h.create)
	mux.HandleFunc("GET /entities/{name}", h.get)
	mux.HandleFunc("DELETE /entities/{name}", h.remove)
	h.Server = httptest.NewServer(mux)
	t.Cleanup(h.Close)
	return h
}

func (h *slowHost) create(w http.ResponseWriter, r *http.Request) {
	var body struct{ Name string }
	_ = json.NewDecoder(r.Body).Decode(&body)
	user := r.Header.Get("X-User-Id")
	h.mu.Lock()
	stall, stored := h.stall, h.stored
	h.mu.Unlock()
	if stall == nil {
		time.Sleep(h.delay)
	}
	status := http.StatusCreated
	if stall == nil || stored {
		status = h.store(user, body.Name)
	}
	if stall != nil {
		h.arrived <- user
		<-stall
		status = http.StatusInternalServerError
	}
	h.answer(w, status, user, body.Name)
}

func (h *slowHost) store(user, name string) int {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.entities[user][name] {
		return http.StatusConflict
	}
	if h.entities[user] == nil {
		h.entities[user] = map[string]bool{}
	}
	h.entities[user][name] = true
	h.most = max(h.most, len(h.entities[user]))
	return http.StatusCreated
}

func (h *slowHost) get(w http.ResponseWriter, r *http.Request) {
	user, name := r.Header.Get("X-User-Id"), r.PathValue("name")
	h.mu.Lock()
	found := h.entities[user][name]
	h.mu.Unlock()
	if !found {
		h.answer(w, http.StatusNotFound, user, name)
		return
	}
	h.answer(w, http.StatusOK, user, name)
}

func (h *slowHost) remove(w http.ResponseWriter, r *http.Request) {
	user, name := r.Header.Get("X-User-Id"), r.PathValue("name")
	h.mu.Lock()
	delete(h.entities[user], name)
	h.mu.Unlock()
	w.WriteHeader(http.StatusNoContent)
}

func (h *slowHost) answer(w http.ResponseWriter, status int, user, name string) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	body := map[string]any{"name": name, "owner_user_id": user, "detail": http.StatusText(status)}
	_ = json.NewEncoder(w).Encode(body)
}

func (h *slowHost) count(user string) int {
	h.mu.Lock()
	defer h.mu.Unlock()
	return len(h.entities[user])
}

// setStall makes creates hang from now on, or lets them run again.
func (h *slowHost) setStall(stall chan struct{}, stored bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.stall, h.stored = stall, stored
}

func TestFiftyConcurrentCreatesMakeOneEntity(t *testing.T) {
	t.Run("two processes on PostgreSQL", func(t *testing.T) {
		host, database := newSlowHost(t, 50*time.Millisecond), testkit.Postgres(t)
		s := &stack{}
		for range 2 {
			s.wisdoms = append(s.wisdoms, startWisdom(t, freeAddr(t), database, host.URL))
		}
		createRounds(t, s, host)
	})
	t.Run("one process on SQLite", func(t *testing.T) {
		host := newSlowHost(t, 50*time.Millisecond)
		createRounds(t, &stack{wisdoms: []*process{startWisdom(t, freeAddr(t), testkit.SQLite(t), host.URL)}}, host)
	})
}

// createRounds plays 100 rounds, 25 for each of four users at the same time.
func createRounds(t *testing.T, s *stack, host *slowHost) {
	var users sync.WaitGroup
	for range 4 {
		ada := signUp(t, s)
		users.Go(func() {
			for round := range 25 {
				createRound(t, s, ada, round)
			}
		})
	}
	users.Wait()
	if host.most != 1 {
		t.Errorf("a user had %d entities at once, want 1", host.most)
	}
}

func createRound(t *testing.T, s *stack, ada account, round int) {
	statuses := make([]int, 50)
	var group sync.WaitGroup
	for i := range statuses {
		group.Go(func() {
			a, err := try("POST", s.url()+"/personal/entities", fmt.Sprintf(`{"name":"e%d-%d"}`, round, i), ada.bearer()...)
			if err != nil {
				t.Error(err)
				return
			}
			if statuses[i] = a.status; a.status != 201 && a.text("code") != "entity_quota_exceeded" {
				t.Errorf("round %d: %d %s", round, a.status, a.body)
			}
		})
	}
	group.Wait()
	created := 0
	for i, status := range statuses {
		if status != 201 {
			continue
		}
		created++
		if a, err := try("DELETE", fmt.Sprintf("%s/personal/entities/e%d-%d", s.url(), round, i), "", ada.bearer()...); err != nil || a.status != 204 {
			t.Errorf("delete: %v %d %s", err, a.status, a.body)
		}
	}
	if created != 1 {
		t.Errorf("round %d: %d entities created, want 1", round, created)
	}
}

func TestAKilledCreateIsSettledWithoutHelp(t *testing.T) {
	settings := []string{"INTUNO_AGENTS_TIMEOUT_SECONDS=1", "PERSONAL_SLOT_SETTLE_SECONDS=2", "TURN_TIMEOUT_SECONDS=55"}
	t.Run("two processes on PostgreSQL", func(t *testing.T) {
		host, database := newSlowHost(t, 0), testkit.Postgres(t)
		victim, other := freeAddr(t), freeAddr(t)
		startWisdom(t, other, database, host.URL, settings...)
		killRounds(t, host, "http://"+other, func() *process { return startWisdom(t, victim, database, host.URL, settings...) })
	})
	t.Run("one process on SQLite", func(t *testing.T) {
		host, database := newSlowHost(t, 0), testkit.SQLite(t)
		addr := freeAddr(t)
		killRounds(t, host, "http://"+addr, func() *process { return startWisdom(t, addr, database, host.URL, settings...) })
	})
}

// killRounds kills a wisdom 20 times while a create is at the host, which has stored
// the entity in every second round. Afterwards each user must end up with exactly
// the entities that exist, and be able to create one if there is none.
func killRounds(t *testing.T, host *slowHost, survivor string, startVictim func() *process) {
	victim := startVictim()
	var users []account
	for round := range 20 {
		s := &stack{wisdoms: []*process{victim}}
		ada := signUp(t, s)
		users = append(users, ada)
		stall := make(chan struct{})
		host.setStall(stall, round%2 == 0)
		gone := make(chan struct{})
		go func() {
			defer close(gone)
			_, _ = try("POST", s.url()+"/personal/entities", `{"name":"first"}`, ada.bearer()...)
		}()
		<-host.arrived
		victim.kill()
		<-gone
		host.setStall(nil, false)
		close(stall)
		victim = startVictim()
		if a := call(t, "POST", survivor+"/personal/entities", `{"name":"second"}`, ada.bearer()...); a.status != 429 {
			t.Errorf("round %d: a create beside the held slot answers %d %s, want 429", round, a.status, a.body)
		}
	}
	deadline := time.Now().Add(20 * time.Second)
	for round, ada := range users {
		for {
			used := call(t, "GET", survivor+"/personal/usage", "", ada.bearer()...)
			if stored := host.count(ada.id); strings.Contains(string(used.body), fmt.Sprintf(`"entities":{"used":%d,"limit":1}`, stored)) && stored == (round+1)%2 {
				break
			}
			if time.Now().After(deadline) {
				t.Fatalf("round %d: not settled: %s with %d entities at the host", round, used.body, host.count(ada.id))
			}
			time.Sleep(50 * time.Millisecond)
		}
		want := 429
		if round%2 == 1 {
			want = 201
		}
		expect(t, want, "POST", survivor+"/personal/entities", `{"name":"third"}`, ada.bearer()...)
	}
	if host.most != 1 {
		t.Errorf("a user had %d entities at once, want 1", host.most)
	}
}
