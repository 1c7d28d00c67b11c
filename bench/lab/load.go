package lab

import (
	"context"
	"fmt"
	"net/http"
	"slices"
	"sync"
	"time"

	"github.com/valyala/fasthttp"
)

// Request is one request, sent over and over.
type Request struct {
	Addr    string
	Path    string
	Headers [][2]string
	Body    string // not empty: a POST of JSON
}

// Result is one run of a load.
type Result struct {
	Rate     float64 // requests a second
	P50, P99 time.Duration
}

// Load sends the request over callers connections for the given time, each as soon as
// the last is answered, or every pause if that is not 0. An answer other than 200 ends
// it with an error.
//
// The client is fasthttp: on a small machine it leaves more of the processor to the
// servers under test than net/http's.
func Load(ctx context.Context, r Request, callers int, length, pause time.Duration) (Result, error) {
	client := &fasthttp.HostClient{Addr: r.Addr, MaxConns: callers, DisablePathNormalizing: true, NoDefaultUserAgentHeader: true}
	defer client.CloseIdleConnections()
	latencies := make([][]time.Duration, callers)
	faults := make(chan error, callers)
	var group sync.WaitGroup
	start := time.Now()
	for i := range callers {
		group.Go(func() {
			var err error
			if latencies[i], err = call(ctx, client, r, start.Add(length), pause, pause*time.Duration(i)/time.Duration(callers)); err != nil {
				faults <- err
			}
		})
	}
	group.Wait()
	elapsed := time.Since(start)
	select {
	case err := <-faults:
		return Result{}, err
	default:
	}
	all := slices.Concat(latencies...)
	if len(all) == 0 {
		return Result{}, ctx.Err()
	}
	slices.Sort(all)
	return Result{Rate: float64(len(all)) / elapsed.Seconds(), P50: all[len(all)/2], P99: all[len(all)*99/100]}, nil
}

// call is one connection of a load.
func call(ctx context.Context, client *fasthttp.HostClient, r Request, deadline time.Time, pause, offset time.Duration) (latencies []time.Duration, err error) {
	request, response := fasthttp.AcquireRequest(), fasthttp.AcquireResponse()
	defer fasthttp.ReleaseRequest(request)
	defer fasthttp.ReleaseResponse(response)
	request.SetRequestURI("http://" + r.Addr + r.Path)
	for _, h := range r.Headers {
		request.Header.Set(h[0], h[1])
	}
	if r.Body != "" {
		request.Header.SetMethod(http.MethodPost)
		request.Header.SetContentType("application/json")
		request.SetBodyString(r.Body)
	}
	next := time.Now().Add(offset)
	for time.Now().Before(deadline) && ctx.Err() == nil {
		if pause > 0 {
			time.Sleep(time.Until(next))
			next = next.Add(pause)
		}
		sent := time.Now()
		if err := client.DoTimeout(request, response, 30*time.Second); err != nil {
			return nil, err
		}
		if response.StatusCode() != http.StatusOK {
			return nil, fmt.Errorf("status %d: %s", response.StatusCode(), response.Body())
		}
		latencies = append(latencies, time.Since(sent))
	}
	return latencies, nil
}
