package fault_test

import (
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/IntunoAI/intuno-go/internal/fault"
)

func TestFaultsAreFoundInAChain(t *testing.T) {
	f := fault.New(fault.Conflict, "conflict", "%d of %s", 2, "them")
	for _, err := range []error{f, fmt.Errorf("a: %w", fmt.Errorf("b: %w", f)), errors.Join(errors.New("x"), f)} {
		if got := fault.As(err); got != f {
			t.Errorf("%v: got %v, want the fault", err, got)
		}
		if !fault.Is(err, fault.Conflict) || fault.Is(err, fault.NotFound) || !fault.HasCode(err, "conflict") || fault.HasCode(err, "x") {
			t.Errorf("%v: kind or code is wrong", err)
		}
	}
	for _, err := range []error{nil, errors.New("x")} {
		if fault.As(err) != nil || fault.Is(err, fault.Internal) || fault.HasCode(err, "") {
			t.Errorf("%v: an untyped error is taken for a fault", err)
		}
	}
	if f.Detail != "2 of them" {
		t.Errorf("got %q", f.Detail)
	}
}

func TestForgottenKindIsInternal(t *testing.T) {
	if (&fault.Error{}).Kind != fault.Internal {
		t.Error("the zero kind shows its text")
	}
}

func TestCauseIsForTheLogOnly(t *testing.T) {
	cause := errors.New("disk on fire")
	f := fault.Missing("Agent").Because(cause)
	if f.Detail != "Agent not found" || f.Code != "not_found" || f.Kind != fault.NotFound {
		t.Errorf("got %+v", f)
	}
	if got, want := f.Error(), "not_found: Agent not found: disk on fire"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
	if !errors.Is(f, cause) {
		t.Error("the cause is not in the chain")
	}
}

func TestProblemsOfFields(t *testing.T) {
	f := fault.InvalidField("value_error", "must be in the future", "body", "expires_at")
	if f.Kind != fault.Invalid || f.Code != "validation_error" || len(f.Problems) != 1 || f.Problems[0].Input != nil {
		t.Errorf("got %+v", f)
	}
	if got, want := f.Error(), "validation_error: the request is not valid; [body expires_at]: must be in the future"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
	two := fault.Problems(f.Problems[0], fault.Problem{Type: "missing", Loc: []any{"body", "name"}})
	if len(two.Problems) != 2 {
		t.Errorf("got %+v", two.Problems)
	}
}

func TestExtras(t *testing.T) {
	f := fault.New(fault.RateLimited, "rate_limited", "slow down").After(time.Minute).With("limit", 1).With("used", 2)
	if f.RetryAfter != time.Minute || len(f.Extra) != 2 || f.Extra["limit"] != 1 || f.Extra["used"] != 2 {
		t.Errorf("got %+v", f)
	}
}
