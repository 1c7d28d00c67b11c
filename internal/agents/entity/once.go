package entity

import (
	"context"
	"fmt"
	"time"

	"github.com/IntunoAI/intuno-go/internal/fault"
	"github.com/IntunoAI/intuno-go/internal/id"
)

// KeepOnce is how long the answer to a request with an Idempotency-Key is kept.
const KeepOnce = 24 * time.Hour

// Once marks a request that takes effect once however often it is sent. The zero
// value is a request without Idempotency-Key.
type Once struct {
	Key         string // 1..255 visible ASCII characters
	Fingerprint string // digest of the parsed JSON body
}

// Given reports whether the request has a key.
func (o Once) Given() bool { return o.Key != "" }

// Record is what is kept under a key.
type Record struct {
	Fingerprint string
	Created     time.Time
	Message     id.Message   // the turn that the request started, if it did
	Running     bool         // the turn has not ended
	Answer      []byte       // of a success, as it was sent; empty for a turn, whose answer is in the history
	Refusal     *fault.Error // instead of an answer
}

// Admission says what to do with a request.
type Admission struct {
	Replay  bool         // answer with what the record holds
	Refusal *fault.Error // refuse, and keep nothing
}

// Receipt is what a store did. Replay is the record that answers instead, if any.
type Receipt struct{ Replay *Record }

// Admit compares a request with the record of its key, nil if there is none. The
// caller says whether a running record still runs: one whose turn was interrupted
// counts as absent and must be passed as nil.
func Admit(r *Record, once Once, now time.Time) Admission {
	switch {
	case r == nil || !now.Before(r.Created.Add(KeepOnce)):
		return Admission{}
	case r.Fingerprint != once.Fingerprint:
		return Admission{Refusal: fault.New(fault.Invalid, "idempotency_key_reused",
			"This Idempotency-Key was used with another body")}
	case r.Running:
		return Admission{Refusal: fault.New(fault.Conflict, "idempotency_in_progress",
			"The first request with this Idempotency-Key is still running").After(time.Second)}
	}
	return Admission{Replay: true}
}

// Exists is the refusal of a create whose name is taken. It is kept under the key.
func Exists() *fault.Error {
	return fault.New(fault.Conflict, "entity_exists", "You have an entity of this name")
}

// forgetBatch is how many records one statement drops: few enough that others can
// write in between.
const forgetBatch = 500

// Sweep drops the records whose time is over. It is meant to be called every now
// and then.
func (s *Service) Sweep(ctx context.Context) error {
	for {
		n, err := s.Store.ForgetOnce(ctx, s.Now().Add(-KeepOnce), forgetBatch)
		if err != nil {
			return fmt.Errorf("forget idempotency records: %w", err)
		}
		if n < forgetBatch {
			return nil
		}
	}
}
