package httpx

import (
	"net/http"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// corsPolicy answers browsers of other origins. Without origins no CORS header is
// ever sent; credentials are never allowed.
type corsPolicy struct {
	any     bool
	origins map[string]bool
}

const (
	corsMethods = "GET, HEAD, POST, PUT, PATCH, DELETE"
	corsHeaders = "Authorization, Content-Type, X-API-Key, X-Request-ID, Idempotency-Key, Last-Event-ID"
	corsExposed = "X-Request-ID, X-Response-Time-Ms, X-RateLimit-Limit, X-RateLimit-Remaining, X-RateLimit-Reset, Retry-After, Idempotency-Replayed"
	corsMaxAge  = "600" // seconds
)

func newCORS(origins []string) *corsPolicy {
	c := &corsPolicy{origins: map[string]bool{}}
	for _, origin := range origins {
		c.any = c.any || origin == "*"
		c.origins[origin] = true
	}
	return c
}

// apply sets the headers for an allowed origin and reports whether the request was
// a preflight, which is answered 204 without looking further.
func (c *corsPolicy) apply(w http.ResponseWriter, r *http.Request) bool {
	if len(c.origins) == 0 {
		return false
	}
	h := w.Header()
	h.Add("Vary", "Origin")
	origins := r.Header["Origin"]
	if len(origins) != 1 || !c.any && !c.origins[origins[0]] {
		return false
	}
	h.Set("Access-Control-Allow-Origin", origins[0])
	h.Set("Access-Control-Expose-Headers", corsExposed)
	if r.Method != http.MethodOptions || r.Header.Get("Access-Control-Request-Method") == "" {
		return false
	}
	h.Set("Access-Control-Allow-Methods", corsMethods)
	h.Set("Access-Control-Allow-Headers", corsHeaders)
	h.Set("Access-Control-Max-Age", corsMaxAge)
	return true
}

// peerAddress is the client's address. X-Forwarded-For counts only when the peer
// is a trusted proxy; then it is the right-most element that is not one.
func peerAddress(r *http.Request, trusted []netip.Prefix) string {
	ap, err := netip.ParseAddrPort(r.RemoteAddr)
	if err != nil {
		return r.RemoteAddr
	}
	addr := ap.Addr().Unmap().WithZone("")
	if len(trusted) == 0 || !contains(trusted, addr) {
		return addr.String()
	}
	hops := strings.Split(strings.Join(r.Header["X-Forwarded-For"], ","), ",")
	for _, hop := range slices.Backward(hops) {
		next, err := netip.ParseAddr(strings.TrimSpace(hop))
		if err != nil {
			break
		}
		addr = next.Unmap().WithZone("")
		if !contains(trusted, addr) {
			break
		}
	}
	return addr.String()
}

func contains(prefixes []netip.Prefix, addr netip.Addr) bool {
	return slices.ContainsFunc(prefixes, func(p netip.Prefix) bool { return p.Contains(addr) })
}

// metrics are the Prometheus series of the edge.
type metrics struct {
	requests *prometheus.CounterVec
	seconds  *prometheus.HistogramVec
}

func newMetrics(service string, registerer prometheus.Registerer) *metrics {
	if registerer == nil {
		return &metrics{}
	}
	labels := prometheus.Labels{"service": service}
	m := &metrics{
		requests: prometheus.NewCounterVec(prometheus.CounterOpts{Name: "intuno_http_requests_total",
			Help: "Requests answered.", ConstLabels: labels}, []string{"method", "route", "status"}),
		seconds: prometheus.NewHistogramVec(prometheus.HistogramOpts{Name: "intuno_http_request_seconds",
			Help: "Time from the request's headers to the end of the answer.", ConstLabels: labels,
			Buckets: []float64{.0005, .001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10, 30, 60}}, []string{"route"}),
	}
	registerer.MustRegister(m.requests, m.seconds)
	return m
}

func (m *metrics) observe(method, route string, status int, elapsed time.Duration) {
	if m.requests == nil {
		return
	}
	if !slices.Contains(knownMethods, method) {
		method = "other" // the label's values must stay few
	}
	m.requests.WithLabelValues(method, route, strconv.Itoa(status)).Inc()
	m.seconds.WithLabelValues(route).Observe(elapsed.Seconds())
}

var knownMethods = []string{"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"}
