package httpx

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"mime"
	"net/http"
	"net/netip"
	"regexp"
	"runtime/debug"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/IntunoAI/intuno-go/api"
	"github.com/IntunoAI/intuno-go/internal/clock"
	"github.com/IntunoAI/intuno-go/internal/fault"
	"github.com/IntunoAI/intuno-go/internal/id"
	"github.com/IntunoAI/intuno-go/internal/principal"
)

// Request is what a Guard may know of a request.
type Request struct {
	ID      string // request id
	Method  string
	Pattern string // of the route
	Access  Access
	Peer    string // client address
	Header  http.Header

	// Path is the path parameters by name, and Query the query's, as they were sent;
	// for the class Signed only.
	Path  map[string]string
	Query map[string][]string
}

// Guard decides who a request acts for and keeps the record of it. Each service has
// one; it is the only place that the edge asks about identity.
type Guard interface {
	// Authenticate returns the principal, or a fault: the answer.
	Authenticate(ctx context.Context, r Request) (principal.Principal, error)
	// Refused is called with the fault and its status for a request that Authenticate
	// refused, before the answer is sent. Requests over the rate limit are left out.
	Refused(ctx context.Context, r Request, err error, status int)
	// Begin is called before the handler of a request that may change state. The
	// returned function is called with the status of the answer, before it is
	// sent. An error stops the request.
	Begin(ctx context.Context, r Request, p principal.Principal) (func(ctx context.Context, status int), error)
}

// Options say how a service's edge behaves.
type Options struct {
	Service        string // label of logs and metrics
	Routes         []Route
	Guard          Guard
	Limiter        *Limiter       // nil: no rate limit
	SignedLimiter  *Limiter       // for requests of the class Signed that the Guard admitted, by what the URL is for; nil: none
	TrustedProxies []netip.Prefix // peers whose X-Forwarded-For counts
	CORSOrigins    []string       // exact origins, or "*"
	MaxBody        int64          // bytes of a request body; 0 = 1 MiB
	ClosedBodies   bool           // unknown members of a body are 422
	Now            clock.Now
	Log            *slog.Logger
	Metrics        prometheus.Registerer // nil: none
	Docs           *Docs                 // nil: the service does not describe itself
}

// Server is the handler of one service.
type Server struct {
	options Options
	router  router
	schemas *schemas
	metrics *metrics
	cors    *corsPolicy
}

const (
	defaultMaxBody = 1 << 20
	maxHeaderLine  = 8 << 10  // bytes of one header line
	maxHeaders     = 32 << 10 // bytes of all header lines
	bodyTimeout    = 30 * time.Second
	writeTimeout   = 30 * time.Second
)

// New builds the table. It refuses a table with a mistake in it: a route without an
// access class, a path parameter that nobody reads, a pattern that does not compile.
func New(o Options) (*Server, error) {
	if o.MaxBody == 0 {
		o.MaxBody = defaultMaxBody
	}
	s := &Server{options: o, schemas: newSchemas(), cors: newCORS(o.CORSOrigins)}
	s.metrics = newMetrics(o.Service, o.Metrics)
	if o.Docs != nil {
		describe := sync.OnceValues(func() ([]byte, error) { return s.describe(*o.Docs) })
		s.options.Routes = append(slices.Clone(o.Routes), o.Docs.routes(describe)...)
	}
	for i := range s.options.Routes {
		r := &s.options.Routes[i]
		if r.Access == 0 || int(r.Access) >= len(accessNames) {
			return nil, fmt.Errorf("%s %s has no access class", r.Method, r.Pattern)
		}
		if err := r.plan(s.schemas); err != nil {
			return nil, err
		}
		if err := s.router.add(r); err != nil {
			return nil, err
		}
	}
	return s, nil
}

// Routes is the table, for tests that walk it.
func (s *Server) Routes() []Route { return s.options.Routes }

// ServeHTTP implements http.Handler.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	x := &exchange{server: s, w: w, r: r, start: s.options.Now(), id: requestID(r)}
	x.peer = peerAddress(r, s.options.TrustedProxies)
	defer x.end()
	if len(r.TransferEncoding) > 0 {
		// net/http accepts Content-Length beside Transfer-Encoding and forgets
		// the former. Closing after the answer makes smuggling pointless (RFC
		// 9112 §6.1).
		w.Header().Set("Connection", "close")
	}
	h := w.Header()
	h["X-Request-Id"] = []string{x.id}
	h["X-Content-Type-Options"] = nosniff
	h["Referrer-Policy"] = noReferrer
	preflight := s.cors.apply(w, r)
	if err := checkHeaderSize(r.Header); err != nil {
		x.limit("p:"+x.peer, false)
		h.Set("Connection", "close")
		x.fail(err)
		return
	}
	if preflight {
		x.limit("p:"+x.peer, false)
		x.status = http.StatusNoContent
		x.stamp()
		w.WriteHeader(http.StatusNoContent)
		return
	}
	route, values, allow := s.router.find(r.Method, escapedPath(r))
	if route == nil {
		x.limit("p:"+x.peer, false)
		if len(allow) > 0 {
			h.Set("Allow", strings.Join(allow, ", "))
			x.fail(fault.New(fault.MethodNotAllowed, api.CodeMethodNotAllowed, "use one of: %s", strings.Join(allow, ", ")))
			return
		}
		x.fail(fault.Missing("Path"))
		return
	}
	x.route = route
	x.run(values)
}

var (
	nosniff    = []string{"nosniff"}
	noReferrer = []string{"no-referrer"}
	noStore    = []string{"no-store"}
	jsonType   = []string{"application/json"}
)

// exchange is one request and its answer, and the facts for the log record.
type exchange struct {
	server    *Server
	w         http.ResponseWriter
	r         *http.Request
	route     *Route
	call      *call // nil until the request is admitted
	start     time.Time
	id        string
	peer      string
	principal principal.Principal
	status    int
	bytes     int64
	err       error
	sent      bool // the status line is out
}

// run takes the checks in the order of the contract (1.4).
func (x *exchange) run(values []string) {
	ctx := x.r.Context()
	s := x.server
	c := &call{server: s, route: x.route, http: x.r, w: x.w, values: values, peer: x.peer, id: x.id}
	asked := x.asked()
	p, err := c.authenticate(ctx, &asked)
	p.Request = x.id
	// Repeated credentials are told even to those who are over the limit.
	enforce := !fault.HasCode(err, api.CodeDuplicateCredentials)
	limiter, key := s.bucket(p, err, x.peer)
	if !x.route.exempt && !x.take(limiter, key, enforce) {
		return
	}
	if err != nil {
		s.options.Guard.Refused(ctx, asked, err, statusOf(err))
		x.fail(err)
		return
	}
	x.principal = p
	if x.route.Access != Public {
		x.w.Header()["Cache-Control"] = noStore
	}
	x.call = c
	if !c.pathFound() {
		x.fail(fault.Missing("Path"))
		return
	}
	if err := c.readBody(); err != nil {
		if fault.Is(err, fault.TooLarge) {
			x.w.Header().Set("Connection", "close") // the rest of the body is unread
		}
		x.fail(err)
		return
	}
	reply, err := x.route.serve(ctx, p, c)
	if err != nil {
		x.fail(err)
		return
	}
	x.answer(ctx, reply)
}

func (x *exchange) asked() Request {
	return Request{ID: x.id, Method: x.r.Method, Pattern: x.route.Pattern, Access: x.route.Access, Peer: x.peer, Header: x.r.Header}
}

// bucket names the rate-limit counter of a request: the user's, a second one for
// services that act for the user, the participant's of a signed URL, or the peer's for
// everybody without a principal.
func (s *Server) bucket(p principal.Principal, err error, peer string) (*Limiter, string) {
	switch {
	case err != nil || p.Via == principal.Anonymous:
		return s.options.Limiter, "p:" + peer
	case p.Via == principal.Callback:
		return s.options.SignedLimiter, "c:" + string(p.Participant)
	case p.Delegated():
		return s.options.Limiter, "d:" + string(p.User)
	}
	return s.options.Limiter, "u:" + string(p.User)
}

// limit counts a request that no route answers.
func (x *exchange) limit(key string, enforce bool) bool {
	return x.take(x.server.options.Limiter, key, enforce)
}

// take counts the request and sets the headers. When enforce is set and the limit
// is reached, it answers 429 and returns false.
func (x *exchange) take(l *Limiter, key string, enforce bool) bool {
	if l == nil {
		return true
	}
	verdict := l.Take(key, x.start)
	verdict.header(x.w.Header())
	if verdict.Allowed || !enforce {
		return true
	}
	x.fail(fault.New(fault.RateLimited, api.CodeRateLimited, "too many requests: at most %d a minute", verdict.Limit).
		After(verdict.Reset.Sub(x.start)))
	return false
}

// readBody reads at most MaxBody bytes. On a route that takes no body, one must have a
// lawful size and type too; what it says is ignored.
func (c *call) readBody() error {
	r := c.http
	if r.Body == nil || r.Body == http.NoBody {
		return nil
	}
	limit := c.server.options.MaxBody
	tooLarge := fault.New(fault.TooLarge, api.CodePayloadTooLarge, "the body is larger than %d bytes", limit)
	if r.ContentLength > limit {
		return tooLarge
	}
	control := http.NewResponseController(c.w)
	_ = control.SetReadDeadline(c.server.options.Now().Add(bodyTimeout)) // not supported by test recorders
	body, err := io.ReadAll(io.LimitReader(r.Body, limit+1))
	if err != nil {
		return fault.New(fault.BadRequest, api.CodeBadRequest, "the body could not be read").Because(err)
	}
	_ = control.SetReadDeadline(time.Time{})
	if int64(len(body)) > limit {
		return tooLarge
	}
	if len(body) == 0 {
		return nil
	}
	if c.route.body != nil {
		c.body = body
	}
	return checkMediaType(r.Header)
}

// checkMediaType accepts JSON, an absent type, and no content coding.
func checkMediaType(h http.Header) error {
	for _, coding := range h["Content-Encoding"] {
		if coding != "" && !strings.EqualFold(coding, "identity") {
			return fault.New(fault.Unsupported, api.CodeUnsupportedMediaType, "send the body without Content-Encoding")
		}
	}
	types := h["Content-Type"]
	if len(types) == 0 || len(types) == 1 && types[0] == "" {
		return nil
	}
	media, _, err := mime.ParseMediaType(types[0])
	if len(types) == 1 && err == nil && (media == "application/json" || strings.HasPrefix(media, "application/") && strings.HasSuffix(media, "+json")) {
		return nil
	}
	return fault.New(fault.Unsupported, api.CodeUnsupportedMediaType, "send the body as application/json")
}

func checkHeaderSize(h http.Header) error {
	total := 0
	for name, values := range h {
		for _, value := range values {
			line := len(name) + len(": \r\n") + len(value)
			if line > maxHeaderLine {
				return fault.New(fault.HeadersTooLarge, api.CodeBadRequest, "a header line is longer than %d bytes", maxHeaderLine)
			}
			total += line
		}
	}
	if total > maxHeaders {
		return fault.New(fault.HeadersTooLarge, api.CodeBadRequest, "the headers are larger than %d bytes", maxHeaders)
	}
	return nil
}

var requestIDPattern = regexp.MustCompile(`^[A-Za-z0-9._-]{1,64}$`)

func requestID(r *http.Request) string {
	if values := r.Header["X-Request-Id"]; len(values) == 1 && requestIDPattern.MatchString(values[0]) {
		return values[0]
	}
	return id.New[string]()
}

// beginAudit asks the guard for a record of a change.
func (s *Server) beginAudit(ctx context.Context, c *call, p principal.Principal) (func(context.Context, int, error), error) {
	if c.route.Method == http.MethodGet {
		return func(context.Context, int, error) {}, nil
	}
	finish, err := s.options.Guard.Begin(ctx, Request{ID: c.id, Method: c.route.Method, Pattern: c.route.Pattern,
		Access: c.route.Access, Peer: c.peer, Header: c.http.Header}, p)
	if err != nil {
		return nil, err
	}
	return func(ctx context.Context, status int, err error) {
		if finish == nil {
			return
		}
		if err != nil {
			status = statusOf(err)
		}
		finish(context.WithoutCancel(ctx), status)
	}, nil
}

// end recovers a panic and writes the one log record and the metrics of a request.
func (x *exchange) end() {
	recovered := recover()
	cut := x.sent // a panic now can only cut the answer
	if recovered != nil && recovered != http.ErrAbortHandler {
		x.err = fmt.Errorf("panic: %v\n%s", recovered, debug.Stack())
		if !x.sent {
			x.fail(x.err)
		}
	}
	elapsed := x.server.options.Now().Sub(x.start)
	pattern := "(no route)"
	if x.route != nil {
		pattern = x.route.Pattern
	}
	x.server.metrics.observe(x.r.Method, pattern, x.status, elapsed)
	x.log(pattern, elapsed)
	if recovered != nil && cut {
		panic(http.ErrAbortHandler)
	}
}

func (x *exchange) log(pattern string, elapsed time.Duration) {
	level := slog.LevelInfo
	switch f := fault.As(x.err); {
	case x.status < 500:
	case f != nil && f.Kind == fault.Unavailable && f.Code != "not_ready" && f.Unwrap() == nil:
		level = slog.LevelWarn // nothing is broken: halted by an administrator, shedding load
	case f != nil && (f.Code == api.CodeTargetUnreachable || f.Code == api.CodeCallTimeout):
		level = slog.LevelWarn // the receiver is one that a user has named
	default:
		level = slog.LevelError
	}
	log := x.server.options.Log
	ctx := x.r.Context()
	if !log.Enabled(ctx, level) {
		return
	}
	attrs := make([]slog.Attr, 0, 12)
	attrs = append(attrs, slog.String("method", x.r.Method), slog.String("route", pattern), slog.Int("status", x.status),
		slog.Float64("ms", float64(elapsed.Microseconds())/1000), slog.String("request_id", x.id), slog.String("peer", x.peer))
	switch p := x.principal; p.Via {
	case principal.Anonymous:
	case principal.Callback:
		attrs = append(attrs, slog.String("network", string(p.Network)), slog.String("participant", string(p.Participant)))
	default:
		actor := p.Actor()
		attrs = append(attrs, slog.String("user", string(p.User)), slog.String("actor", actor.Type+":"+actor.ID))
	}
	if x.err != nil {
		var f *fault.Error
		if errors.As(x.err, &f) {
			attrs = append(attrs, slog.String("code", f.Code))
		}
		if x.status >= 500 || f != nil && f.Unwrap() != nil {
			attrs = append(attrs, slog.String("error", x.err.Error()))
		}
	}
	log.LogAttrs(ctx, level, "request", attrs...)
}
