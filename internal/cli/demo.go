package cli

import (
	"context"
	"net/http"

	"github.com/IntunoAI/intuno-go/internal/clock"
	"github.com/IntunoAI/intuno-go/internal/demo"
	"github.com/IntunoAI/intuno-go/internal/svc"
)

// demoAgents serves the demo agents as one more unit of the process. It keeps nothing.
type demoAgents struct{}

var _ svc.Service = demoAgents{}

func (demoAgents) Handler() http.Handler { return demo.Handler(clock.System) }

func (demoAgents) Run(ctx context.Context) error {
	<-ctx.Done()
	return nil
}

func (demoAgents) Drain() {}

func (demoAgents) Ready(context.Context) (bool, map[string]string) { return true, nil }

func (demoAgents) Close() error { return nil }
