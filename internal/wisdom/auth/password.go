package auth

import (
	"context"
	"crypto/rand"
	"crypto/subtle"
	"encoding/base64"
	"fmt"
	"runtime"
	"strings"
	"sync/atomic"
	"time"

	"golang.org/x/crypto/argon2"

	"github.com/IntunoAI/intuno-go/internal/fault"
)

// Hashing is the cost of a password hash (argon2id, RFC 9106). Zero fields have the
// defaults: 19 MiB, 2 passes, 1 lane (OWASP Password Storage Cheat Sheet), as many
// workers as there are cores, and a wait of one second for a worker.
type Hashing struct {
	MemoryKiB uint32
	Passes    uint32
	Lanes     uint8
	Workers   int
	Wait      time.Duration
}

const (
	saltBytes = 16
	hashBytes = 32

	// A stored hash that asks for more than this is taken for damaged.
	maxMemoryKiB = 1 << 20
	maxPasses    = 100
)

// hasher makes and checks password hashes, no more at a time than there are workers:
// each costs a core and MemoryKiB.
type hasher struct {
	cost  Hashing
	slots chan struct{}
	dummy string       // a well-formed hash of no password
	runs  atomic.Int64 // hashes computed so far
}

func newHasher(h Hashing) *hasher {
	if h.MemoryKiB == 0 {
		h.MemoryKiB = 19 << 10
	}
	if h.Passes == 0 {
		h.Passes = 2
	}
	if h.Lanes == 0 {
		h.Lanes = 1
	}
	if h.Workers == 0 {
		h.Workers = runtime.NumCPU()
	}
	if h.Wait == 0 {
		h.Wait = time.Second
	}
	hs := &hasher{cost: h, slots: make(chan struct{}, h.Workers)}
	hs.dummy = hs.encode(random(saltBytes), random(hashBytes))
	return hs
}

func random(n int) []byte {
	b := make([]byte, n)
	_, _ = rand.Read(b) // never fails: crypto/rand aborts the process instead
	return b
}

// slot waits for a worker, no longer than Wait: then the fault is overloaded (503).
func (h *hasher) slot(ctx context.Context) (release func(), err error) {
	timer := time.NewTimer(h.cost.Wait)
	defer timer.Stop()
	select {
	case h.slots <- struct{}{}:
		return func() { <-h.slots }, nil
	case <-timer.C:
		return nil, fault.New(fault.Unavailable, "overloaded", "too many logins at the moment, try again").After(time.Second)
	case <-ctx.Done():
		return nil, fmt.Errorf("wait for a hash worker: %w", ctx.Err())
	}
}

// check is matches within a slot.
func (h *hasher) check(ctx context.Context, phc, password string) (bool, error) {
	release, err := h.slot(ctx)
	if err != nil {
		return false, err
	}
	defer release()
	return h.matches(phc, password), nil
}

// hash returns the PHC string of a password. The caller holds a slot.
func (h *hasher) hash(password string) string {
	h.runs.Add(1)
	salt := random(saltBytes)
	return h.encode(salt, argon2.IDKey([]byte(password), salt, h.cost.Passes, h.cost.MemoryKiB, h.cost.Lanes, hashBytes))
}

// matches reports whether phc is password's hash. The caller holds a slot.
func (h *hasher) matches(phc, password string) bool {
	cost, salt, want, ok := decodePHC(phc)
	if !ok {
		return false
	}
	h.runs.Add(1)
	got := argon2.IDKey([]byte(password), salt, cost.Passes, cost.MemoryKiB, cost.Lanes, uint32(len(want)))
	return subtle.ConstantTimeCompare(got, want) == 1
}

// encode writes the PHC string format
// (https://github.com/P-H-C/phc-string-format/blob/master/phc-sf-spec.md).
func (h *hasher) encode(salt, sum []byte) string {
	b64 := base64.RawStdEncoding
	return fmt.Sprintf("$argon2id$v=%d$m=%d,t=%d,p=%d$%s$%s", argon2.Version,
		h.cost.MemoryKiB, h.cost.Passes, h.cost.Lanes, b64.EncodeToString(salt), b64.EncodeToString(sum))
}

func decodePHC(phc string) (cost Hashing, salt, sum []byte, ok bool) {
	parts := strings.Split(phc, "$")
	if len(parts) != 6 || parts[0] != "" || parts[1] != "argon2id" || parts[2] != fmt.Sprintf("v=%d", argon2.Version) {
		return cost, nil, nil, false
	}
	if n, err := fmt.Sscanf(parts[3], "m=%d,t=%d,p=%d", &cost.MemoryKiB, &cost.Passes, &cost.Lanes); n != 3 || err != nil {
		return cost, nil, nil, false
	}
	salt, err1 := base64.RawStdEncoding.Strict().DecodeString(parts[4])
	sum, err2 := base64.RawStdEncoding.Strict().DecodeString(parts[5])
	ok = err1 == nil && err2 == nil && len(salt) >= 8 && len(sum) >= 16 &&
		cost.MemoryKiB <= maxMemoryKiB && cost.Passes >= 1 && cost.Passes <= maxPasses && cost.Lanes >= 1
	return cost, salt, sum, ok
}
