package agents_test

import (
	"context"
	"log/slog"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/IntunoAI/intuno-go/internal/agents"
	"github.com/IntunoAI/intuno-go/internal/clock"
	"github.com/IntunoAI/intuno-go/internal/secret"
	"github.com/IntunoAI/intuno-go/internal/testkit"
)

// BenchmarkGetEntity is the hottest request of the host, without the network.
func BenchmarkGetEntity(b *testing.B) {
	for engine, url := range map[string]func(testing.TB) string{"sqlite": testkit.SQLite, "postgres": testkit.Postgres} {
		b.Run(engine, func(b *testing.B) {
			cfg, _ := agents.ParseConfig(map[string]string{})
			cfg.DatabaseURL, cfg.APIKey = secret.New(url(b)), secret.New(key)
			service, err := agents.New(context.Background(), cfg, agents.Deps{Log: slog.New(slog.DiscardHandler), Now: clock.System})
			if err != nil {
				b.Fatal(err)
			}
			b.Cleanup(func() { _ = service.Close() })
			ask := func(method, path, body string) int {
				w := httptest.NewRecorder()
				r := httptest.NewRequest(method, path, nil)
				if body != "" {
					r = httptest.NewRequest(method, path, strings.NewReader(body))
				}
				r.Header["X-Api-Key"], r.Header["X-User-Id"] = []string{key}, []string{ada}
				service.Handler().ServeHTTP(w, r)
				return w.Code
			}
			if got := ask("POST", "/entities", `{"name":"aria"}`); got != 201 {
				b.Fatal(got)
			}
			b.ReportAllocs()
			b.RunParallel(func(pb *testing.PB) {
				for pb.Next() {
					if got := ask("GET", "/entities/aria", ""); got != 200 {
						b.Fatal(got)
					}
				}
			})
		})
	}
}
