package httpx

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/IntunoAI/intuno-go/internal/fault"
	"github.com/IntunoAI/intuno-go/internal/principal"
)

type searchInput struct {
	Text string   `query:"text" required:"true" maxLength:"5"`
	Most *float64 `query:"most" minimum:"0" maximum:"1000000"`
}

func TestQueriesMayBeRequiredAndFractions(t *testing.T) {
	s, _ := testServer(t, func(o *Options) {
		o.Routes = append(o.Routes, Get("/search", User, func(_ context.Context, _ principal.Principal, in *searchInput) (string, error) {
			if in.Most == nil {
				return in.Text, nil
			}
			return fmt.Sprint(in.Text, *in.Most), nil
		}))
	})
	for query, want := range map[string]string{
		"?text=":                "200 \"\"",
		"?text=a&most=0.25":     "200 \"a0.25\"",
		"?text=a&most=1e6":      "200 \"a1e+06\"",
		"":                      "422 missing text",
		"?text=abcdef":          "422 string_too_long text",
		"?text=a&most=x":        "422 value_error most",
		"?text=a&most=NaN":      "422 value_error most",
		"?text=a&most=Inf":      "422 value_error most",
		"?text=a&most=1e400":    "422 value_error most",
		"?text=a&most=":         "422 value_error most",
		"?text=a&most=-0.1":     "422 greater_than_equal most",
		"?text=a&most=1000001":  "422 less_than_equal most 1000000",
		"?most=-1":              "422 missing text greater_than_equal most",
		"?text=%00&most=-1e-30": "422 most",
	} {
		r := do(s, "GET", "/search"+query, "")
		got := fmt.Sprint(r.Code, " ", r.Body)
		for part := range strings.SplitSeq(want, " ") {
			if !strings.Contains(got, part) {
				t.Errorf("%s: got %s, want %s", query, got, want)
			}
		}
	}
}

func TestOnlyWhatIsBrokenIsLoggedAsAnError(t *testing.T) {
	for _, tt := range []struct {
		err  error
		want string
	}{
		{fault.Missing("Thing"), "INFO"},
		{fmt.Errorf("ask: %w", fault.New(fault.Unavailable, "platform_halted", "halted")), "WARN"},
		{fault.New(fault.Unavailable, "overloaded", "busy").Because(errors.New("deadlock")), "ERROR"},
		{fault.New(fault.Unavailable, "not_ready", "no database"), "ERROR"},
		{fault.New(fault.Upstream, "target_unreachable", "no").Because(errors.New("connection refused")), "WARN"},
		{fault.New(fault.Timeout, "call_timeout", "no").Because(errors.New("deadline")), "WARN"},
		{fault.New(fault.Upstream, "entity_host_error", "no").Because(errors.New("connection refused")), "ERROR"},
		{errors.New("nil map"), "ERROR"},
	} {
		var log bytes.Buffer
		s, _ := testServer(t, func(o *Options) {
			o.Log = slog.New(slog.NewJSONHandler(&log, nil))
			o.Routes = append(o.Routes, Get("/fail", Public, func(context.Context, principal.Principal, *struct{}) (string, error) { return "", tt.err }))
		})
		do(s, "GET", "/fail", "")
		if !strings.Contains(log.String(), `"level":"`+tt.want+`"`) {
			t.Errorf("%v: got %s, want the level %s", tt.err, &log, tt.want)
		}
	}
}

func TestAClientThatLeftIsNoErrorOfOurs(t *testing.T) {
	for _, tt := range []struct {
		err  error
		want int
	}{
		{context.Canceled, 499},
		{fault.New(fault.Upstream, "entity_host_error", "x").Because(errors.New("i/o timeout")), 499},
		{fault.New(fault.Timeout, "turn_timeout", "x"), 499},
		{fault.New(fault.NotFound, "not_found", "x"), 404},
		{errors.New("the database is broken"), 500},
	} {
		var log bytes.Buffer
		s, _ := testServer(t, func(o *Options) {
			o.Log = slog.New(slog.NewJSONHandler(&log, nil))
			o.Routes = append(o.Routes, Get("/slow", Public, func(ctx context.Context, _ principal.Principal, _ *struct{}) (string, error) {
				<-ctx.Done()
				return "", fmt.Errorf("fetch something: %w", tt.err)
			}))
		})
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		rec := httptest.NewRecorder()
		s.ServeHTTP(rec, httptest.NewRequest("GET", "/slow", nil).WithContext(ctx))
		if rec.Code != tt.want || strings.Contains(log.String(), "ERROR") != (tt.want == 500) {
			t.Errorf("%v: status %d, log %s", tt.err, rec.Code, &log)
		}
	}
}
