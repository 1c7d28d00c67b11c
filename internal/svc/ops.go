package svc

import (
	"context"
	"encoding/json"
	"net"
	"net/http"
	"net/http/pprof"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"github.com/IntunoAI/intuno-go/api"
	"github.com/IntunoAI/intuno-go/internal/config"
	"github.com/IntunoAI/intuno-go/internal/id"
)

// readyTimeout bounds how long the checks of one /ready may take.
const readyTimeout = 3 * time.Second

// Ops is what the ops listener shows: GET /metrics, /ready, /version, /config and
// /debug/pprof/. It has no authentication, so its listener must be on loopback.
type Ops struct {
	Listener net.Listener
	Metrics  prometheus.Gatherer
	Version  any // of /version, as JSON
	Config   any // of /config, as JSON, already redacted
}

// handler refuses requests that do not name this machine: otherwise a page in a
// browser here could read it through a name that resolves to 127.0.0.1.
func (o *Ops) handler(units []Unit) http.Handler {
	mux := http.NewServeMux()
	mux.Handle("GET /metrics", promhttp.HandlerFor(o.Metrics, promhttp.HandlerOpts{}))
	mux.HandleFunc("GET /ready", func(w http.ResponseWriter, r *http.Request) { ready(w, r, units) })
	mux.HandleFunc("GET /version", func(w http.ResponseWriter, _ *http.Request) { writeJSON(w, http.StatusOK, o.Version) })
	mux.HandleFunc("GET /config", func(w http.ResponseWriter, _ *http.Request) { writeJSON(w, http.StatusOK, o.Config) })
	mux.HandleFunc("GET /debug/pprof/", pprof.Index)
	mux.HandleFunc("GET /debug/pprof/cmdline", pprof.Cmdline)
	mux.HandleFunc("GET /debug/pprof/profile", pprof.Profile)
	mux.HandleFunc("GET /debug/pprof/symbol", pprof.Symbol)
	mux.HandleFunc("GET /debug/pprof/trace", pprof.Trace)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		host, _, err := net.SplitHostPort(r.Host)
		if err != nil {
			host = r.Host
		}
		if !config.Loopback(host) {
			writeJSON(w, http.StatusForbidden, api.Error{Detail: "Only this machine may ask", Code: api.CodeForbidden, RequestID: id.New[string]()})
			return
		}
		mux.ServeHTTP(w, r)
	})
}

// ready asks every service. With more than one, the names of the checks are
// "service.check".
func ready(w http.ResponseWriter, r *http.Request, units []Unit) {
	ctx, cancel := context.WithTimeout(r.Context(), readyTimeout)
	defer cancel()
	all, checks := true, map[string]string{}
	for _, u := range units {
		ok, found := u.Service.Ready(ctx)
		all = all && ok
		for name, state := range found {
			if len(units) > 1 {
				name = u.Name + "." + name
			}
			checks[name] = state
		}
	}
	if all {
		writeJSON(w, http.StatusOK, map[string]any{"status": "ready", "checks": checks})
		return
	}
	writeJSON(w, http.StatusServiceUnavailable, map[string]any{
		"detail": "Not ready", "code": api.CodeNotReady, "request_id": id.New[string](), "checks": checks,
	})
}

func writeJSON(w http.ResponseWriter, status int, body any) {
	text, err := json.Marshal(body)
	if err != nil {
		status, text = http.StatusInternalServerError, []byte(`{"detail": "Internal error", "code": "internal_error"}`)
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_, _ = w.Write(append(text, '\n')) // a reader that has gone needs no answer
}
