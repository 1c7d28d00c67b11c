package main

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"net/http/httputil"
	"net/url"
	"slices"
	"sync"
	"time"

	"github.com/valyala/fasthttp"
)

// scenario is one request, sent over and over.
type scenario struct {
	name    string
	against string // the scenario to which the rate is compared
	addr    string
	path    string
	headers [][2]string
	target  string // of the ratio, for the reader

	profiled bool
}

// load sends the scenario's request over callers connections for the given time.
// The client is fasthttp: on a small machine it leaves more of the processor to
// the servers under test than net/http's.
func load(ctx context.Context, s scenario, callers int, length time.Duration) (result, error) {
	client := &fasthttp.HostClient{Addr: s.addr, MaxConns: callers, DisablePathNormalizing: true, NoDefaultUserAgentHeader: true}
	defer client.CloseIdleConnections()
	deadline := time.Now().Add(length)
	latencies := make([][]time.Duration, callers)
	faults := make(chan error, callers)
	var group sync.WaitGroup
	start := time.Now()
	for i := range callers {
		group.Go(func() {
			request, response := fasthttp.AcquireRequest(), fasthttp.AcquireResponse()
			defer fasthttp.ReleaseRequest(request)
			defer fasthttp.ReleaseResponse(response)
			request.SetRequestURI("http://" + s.addr + s.path)
			for _, h := range s.headers {
				request.Header.Set(h[0], h[1])
			}
			for time.Now().Before(deadline) && ctx.Err() == nil {
				sent := time.Now()
				if err := client.DoTimeout(request, response, 10*time.Second); err != nil {
					faults <- err
					return
				}
				if response.StatusCode() != http.StatusOK {
					faults <- fmt.Errorf("status %d: %s", response.StatusCode(), response.Body())
					return
				}
				latencies[i] = append(latencies[i], time.Since(sent))
			}
		})
	}
	group.Wait()
	elapsed := time.Since(start)
	select {
	case err := <-faults:
		return result{}, err
	default:
	}
	all := slices.Concat(latencies...)
	if len(all) == 0 {
		return result{}, ctx.Err()
	}
	slices.Sort(all)
	return result{rate: float64(len(all)) / elapsed.Seconds(), p50: all[len(all)/2], p99: all[len(all)*99/100]}, nil
}

// buffers is the pool of the baseline proxy.
type buffers struct{ pool sync.Pool }

func (b *buffers) Get() []byte  { return *b.pool.Get().(*[]byte) }
func (b *buffers) Put(p []byte) { b.pool.Put(&p) }

// serveProxy is the baseline: httputil.ReverseProxy with a buffer pool and a
// transport that keeps enough connections, and nothing else.
func serveProxy(ctx context.Context, listen, target string) error {
	u, err := url.Parse(target)
	if err != nil {
		return err
	}
	pool := &buffers{pool: sync.Pool{New: func() any { p := make([]byte, 32<<10); return &p }}}
	proxy := &httputil.ReverseProxy{
		Rewrite:    func(r *httputil.ProxyRequest) { r.SetURL(u) },
		BufferPool: pool,
		Transport: &http.Transport{
			DialContext:         (&net.Dialer{Timeout: 5 * time.Second}).DialContext,
			MaxIdleConns:        1024,
			MaxIdleConnsPerHost: 1024,
			IdleConnTimeout:     time.Minute,
			DisableCompression:  true,
		},
	}
	server := &http.Server{Addr: listen, Handler: proxy, ReadHeaderTimeout: 10 * time.Second}
	go func() {
		<-ctx.Done()
		_ = server.Close()
	}()
	if err := server.ListenAndServe(); err != http.ErrServerClosed {
		return err
	}
	return nil
}
