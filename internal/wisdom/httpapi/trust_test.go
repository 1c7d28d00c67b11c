package httpapi

import (
	"strings"
	"testing"
	"time"

	"github.com/IntunoAI/intuno-go/api"
	"github.com/IntunoAI/intuno-go/internal/httpx"
	"github.com/IntunoAI/intuno-go/internal/principal"
	"github.com/IntunoAI/intuno-go/internal/wisdom/registry"
)

func TestARatingLooksAsInTheContract(t *testing.T) {
	at := time.Date(2026, 4, 23, 12, 0, 0, 123456000, time.UTC)
	r := registry.Rating{ID: "5b1d0000-0000-4000-8000-000000000003", User: "5b1d0000-0000-4000-8000-000000000002", Agent: "5b1d0000-0000-4000-8000-000000000001",
		Score: 4, Created: at, Updated: at.Add(time.Hour)}
	const want = `{"id":"5b1d0000-0000-4000-8000-000000000003","user_id":"5b1d0000-0000-4000-8000-000000000002","agent_id":"5b1d0000-0000-4000-8000-000000000001",` +
		`"score":4,"comment":null,"created_at":"2026-04-23T12:00:00.123456Z","updated_at":"2026-04-23T13:00:00.123456Z"}`
	if got, err := httpx.JSON(toRating(r)); err != nil || string(got) != want {
		t.Errorf("got  %s, %v\nwant %s", got, err, want)
	}
}

func TestFiguresHaveTwoDecimals(t *testing.T) {
	for _, tt := range []struct {
		a    registry.Agent
		want string
	}{
		{registry.Agent{}, `"rating_avg":null,"rating_count":0,"quality_success_rate":null,"quality_avg_latency_ms":null,"quality_invocation_count":0,"invocation_count":null`},
		{registry.Agent{RatingSum: 14, RatingCount: 3, Figures: registry.Figures{Calls: 3, Successes: 2, LatencyMS: 500}},
			`"rating_avg":4.67,"rating_count":3,"quality_success_rate":0.67,"quality_avg_latency_ms":166.67,"quality_invocation_count":3,"invocation_count":null`},
		{registry.Agent{RatingSum: 5, RatingCount: 1, Figures: registry.Figures{Calls: 1000, Successes: 999, LatencyMS: 1}},
			`"rating_avg":5,"rating_count":1,"quality_success_rate":1,"quality_avg_latency_ms":0,"quality_invocation_count":1000,"invocation_count":null`},
		{registry.Agent{Figures: registry.Figures{Calls: 2}},
			`"rating_avg":null,"rating_count":0,"quality_success_rate":0,"quality_avg_latency_ms":0,"quality_invocation_count":2,"invocation_count":null`},
	} {
		got, err := httpx.JSON(toAgent(tt.a, principal.Principal{User: "u"}))
		if err != nil || !strings.HasSuffix(string(got), tt.want+"}") {
			t.Errorf("got %s, %v, want it to end in %s", got, err, tt.want)
		}
	}
	var shown api.Agent
	if figuresOf(registry.Agent{}, &shown); shown.RatingAvg != nil {
		t.Errorf("got %v, want null", *shown.RatingAvg)
	}
}
