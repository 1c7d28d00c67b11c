package svc

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"slices"
	"time"

	"golang.org/x/sync/errgroup"
)

// Service is one of the two services, built and ready to run.
type Service interface {
	// Handler answers its listener.
	Handler() http.Handler
	// Run does the background work. It blocks until ctx ends or the work cannot go
	// on. ctx ends after the last request has been answered; what must not be cut off
	// may go on for the rest of the grace period.
	Run(ctx context.Context) error
	// Drain makes Ready answer false from now on. It does not wait.
	Drain()
	// Ready reports whether requests should be sent here, and the state of each
	// thing the service needs ("ok" or a short fixed text).
	Ready(ctx context.Context) (ok bool, checks map[string]string)
	// Close gives everything free. It is called once, after Run has returned.
	Close() error
}

// Unit is a service and where it is reached.
type Unit struct {
	Name     string
	Service  Service
	Listener net.Listener // nil: it is asked from inside only
	// Inside is a second listener, for the units after this one, which may ask this one
	// until their background work has ended. Nil: there is none.
	Inside net.Listener
}

// Group is the services of one process.
type Group struct {
	Units []Unit // drained in this order: those that ask others come first
	Ops   Ops
	Grace time.Duration // for the whole drain
	Log   *slog.Logger
}

// Limits of every listener. There is no WriteTimeout, because event streams have no
// end that is known in advance: httpx sets deadlines per route.
const (
	readHeaderTimeout = 10 * time.Second
	idleTimeout       = 120 * time.Second
	maxHeaderBytes    = 256 << 10 // httpx refuses an eighth of it with an answer of its own
	closeTimeout      = 2 * time.Second
)

// Run serves until ctx ends or a service fails, and then drains: readiness turns
// off, listeners close, running requests finish within Grace, background work stops,
// services are closed. It returns the first failure, or nil after a drain that was
// asked for. What is not done when Grace has passed is cut off.
func (g *Group) Run(ctx context.Context) error {
	// Requests and background work outlive the signal to stop: only the drain ends them.
	base, stop := context.WithCancel(context.WithoutCancel(ctx))
	defer stop()
	running, failing := errgroup.WithContext(base)
	works := make([]work, len(g.Units))
	for i, u := range g.Units {
		ctx, stop := context.WithCancel(failing)
		defer stop()
		works[i] = work{stop: stop, done: make(chan struct{})}
		running.Go(func() error {
			defer close(works[i].done)
			if err := u.Service.Run(ctx); err != nil && !errors.Is(err, context.Canceled) {
				return fmt.Errorf("%s: %w", u.Name, err)
			}
			return nil
		})
	}
	servers := make([]*http.Server, len(g.Units))
	for i, u := range g.Units {
		servers[i] = g.server(base, u.Service.Handler())
		if u.Listener != nil {
			running.Go(func() error { return g.serve(servers[i], u.Name, u.Listener) })
		}
		if u.Inside != nil {
			works[i].inside = g.server(base, u.Service.Handler())
			running.Go(func() error { return g.serve(works[i].inside, u.Name+", inside", u.Inside) })
		}
	}
	ops := g.server(base, g.Ops.handler(g.Units))
	opsDone := make(chan error, 1)
	go func() { opsDone <- g.serve(ops, "ops", g.Ops.Listener) }() // its end stops nobody else

	select {
	case <-ctx.Done():
		g.Log.Info("draining", "grace_seconds", g.Grace.Seconds())
	case <-failing.Done():
		g.Log.Error("draining after a failure")
	}
	grace, cancel := context.WithTimeout(context.WithoutCancel(ctx), g.Grace)
	defer cancel()
	g.drain(grace, servers)
	err := g.finish(grace, works, running, stop)
	return errors.Join(err, ops.Close(), <-opsDone) // last, so that the drain can be watched
}

// work is the background work of a unit, and its listener inside the process.
type work struct {
	stop   context.CancelFunc
	done   chan struct{}
	inside *http.Server // nil: there is none
}

func (g *Group) serve(server *http.Server, name string, l net.Listener) error {
	g.Log.Info("listening", "service", name, "addr", l.Addr().String())
	if err := server.Serve(l); !errors.Is(err, http.ErrServerClosed) {
		return fmt.Errorf("%s: serve %s: %w", name, l.Addr(), err)
	}
	return nil
}

func (g *Group) server(base context.Context, h http.Handler) *http.Server {
	return &http.Server{
		Handler:                      h,
		ReadHeaderTimeout:            readHeaderTimeout,
		IdleTimeout:                  idleTimeout,
		MaxHeaderBytes:               maxHeaderBytes,
		DisableGeneralOptionsHandler: true, // "OPTIONS *" gets an answer of ours too
		ErrorLog:                     slog.NewLogLogger(g.Log.Handler(), slog.LevelWarn),
		BaseContext:                  func(net.Listener) context.Context { return base },
	}
}

// drain lets running requests finish, one service after the other: a service that is
// asked by another must still answer while that one finishes.
func (g *Group) drain(grace context.Context, servers []*http.Server) {
	for _, u := range g.Units {
		u.Service.Drain()
	}
	for i, server := range servers {
		g.shut(grace, g.Units[i].Name, server)
	}
}

func (g *Group) shut(grace context.Context, name string, server *http.Server) {
	if err := server.Shutdown(grace); err != nil {
		g.Log.Warn("requests were cut off at the end of the grace period", "service", name)
		_ = server.Close() // its listener is closed already: nothing else to learn
	}
}

// finish stops background work, waits for it and closes the services, all in the
// opposite order: what a unit still does may ask an earlier one, from inside. Even when
// requests took all of the grace, the work gets a moment to notice.
func (g *Group) finish(grace context.Context, works []work, running *errgroup.Group, stop context.CancelFunc) error {
	end, _ := grace.Deadline()
	last, cancel := context.WithDeadline(context.WithoutCancel(grace), end.Add(closeTimeout))
	defer cancel()
	var faults []error
	for i, w := range slices.Backward(works) {
		if w.inside != nil {
			g.shut(grace, g.Units[i].Name, w.inside)
		}
		w.stop()
		select {
		case <-w.done:
		case <-last.Done():
		}
	}
	stop() // what is left of requests
	done := make(chan error, 1)
	go func() { done <- running.Wait() }()
	select {
	case err := <-done:
		faults = append(faults, err)
	case <-last.Done():
		faults = append(faults, errors.New("background work did not stop within the grace period"))
	}
	for _, u := range slices.Backward(g.Units) {
		if err := u.Service.Close(); err != nil {
			faults = append(faults, fmt.Errorf("close %s: %w", u.Name, err))
		}
	}
	return errors.Join(faults...)
}
