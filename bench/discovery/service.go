package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"strings"

	"github.com/IntunoAI/intuno-go/internal/clock"
	"github.com/IntunoAI/intuno-go/internal/wisdom"
)

// service is wisdom on a fresh database, asked through its routes.
type service struct {
	dir     string
	wisdom  *wisdom.Service
	stop    context.CancelFunc
	stopped chan error
	token   string
}

func newService(ctx context.Context, agents []agent) (*service, error) {
	dir, err := os.MkdirTemp("", "intuno-bench-")
	if err != nil {
		return nil, err
	}
	cfg, faults := wisdom.ParseConfig(map[string]string{"DATABASE_URL": "sqlite:" + filepath.Join(dir, "wisdom.db"),
		"JWT_SECRET_KEY": "bench-jwt-key-0123456789abcdef0123456789", "RATE_LIMIT_PER_MINUTE": "0"})
	if faults = append(faults, cfg.Check()...); len(faults) > 0 {
		return nil, fmt.Errorf("configuration: %v", faults)
	}
	w, err := wisdom.New(ctx, cfg, wisdom.Deps{Log: slog.New(slog.DiscardHandler), Now: clock.System, Version: "bench"})
	if err != nil {
		return nil, err
	}
	ctx, stop := context.WithCancel(ctx)
	s := &service{dir: dir, wisdom: w, stop: stop, stopped: make(chan error, 1)}
	go func() { s.stopped <- w.Run(ctx) }()
	account := `{"email":"bench@example.org","password":"correct horse battery"}`
	if _, err := s.send("POST", "/auth/register", account); err != nil {
		return nil, err
	}
	login, err := s.send("POST", "/auth/login", account)
	if err != nil {
		return nil, err
	}
	var answer struct {
		Token string `json:"access_token"`
	}
	if err := json.Unmarshal(login, &answer); err != nil {
		return nil, err
	}
	s.token = answer.Token
	for _, a := range agents {
		body, err := json.Marshal(map[string]string{"name": a.Name, "description": a.Description, "endpoint": "https://93.184.215.14/invoke"})
		if err != nil {
			return nil, err
		}
		if _, err := s.send("POST", "/registry/agents", string(body)); err != nil {
			return nil, err
		}
	}
	return s, nil
}

func (s *service) close() {
	s.stop()
	<-s.stopped
	_ = s.wisdom.Close()
	_ = os.RemoveAll(s.dir)
}

func (s *service) send(method, path, body string) ([]byte, error) {
	r := httptest.NewRequest(method, path, strings.NewReader(body))
	if body == "" {
		r.Body = http.NoBody
	}
	if s.token != "" {
		r.Header.Set("Authorization", "Bearer "+s.token)
	}
	rec := httptest.NewRecorder()
	s.wisdom.Handler().ServeHTTP(rec, r)
	text, err := io.ReadAll(rec.Body)
	if err == nil && rec.Code >= 300 {
		err = fmt.Errorf("%s %s: %d %s", method, path, rec.Code, text)
	}
	return text, err
}

func (s *service) searchBy(rankBy string) func(context.Context, string) ([]string, error) {
	return func(_ context.Context, text string) ([]string, error) {
		body, err := s.send("GET", "/registry/discover?limit=10&rank_by="+rankBy+"&query="+url.QueryEscape(text), "")
		if err != nil {
			return nil, err
		}
		var found []struct{ Name string }
		if err := json.Unmarshal(body, &found); err != nil {
			return nil, err
		}
		names := make([]string, len(found))
		for i, a := range found {
			names[i] = a.Name
		}
		return names, nil
	}
}
