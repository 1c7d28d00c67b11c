package main

import (
	"bytes"
	"context"
	"fmt"
	"net/http"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/valyala/fasthttp"
)

const (
	senders = 64
	// outstanding is how many messages may be accepted and not delivered yet while the
	// driver goes on: what is sustained, not what is taken in. Five for each receiver.
	outstanding = 5 * receivers
	patience    = 60 * time.Second // until all are delivered
)

// pace is how messages are sent.
type pace struct {
	length  time.Duration
	rate    float64 // messages a second; 0: each sender as soon as the last was accepted
	unbound bool    // however many are not delivered
}

// result is what came of a load.
type result struct {
	accepted, delivered float64 // a second, of those for receivers that live
	post50, post99      float64 // ms, until the answer
	p50, p99            float64 // ms, from the answer until it arrives
	due99               float64 // ms, from when it was to be sent until it arrives
	backlog             int     // accepted and not delivered at the end
}

// sent is a message that was accepted.
type sent struct {
	id             [idBytes]byte
	due, began, at int64 // Unix nanoseconds
}

// load is a run of senders.
type load struct {
	*world
	pace
	targets   []target
	clients   []*fasthttp.HostClient
	start     time.Time
	next      atomic.Int64
	live      atomic.Int64 // accepted for receivers that live
	delivered atomic.Int64
}

// send sends to the targets by turns, waits until all is delivered that can be, and
// measures. A message that is lost is an error.
func (w *world) send(ctx context.Context, targets []target, p pace) (result, error) {
	if err := w.settled(ctx); err != nil {
		return result{}, err
	}
	l := &load{world: w, pace: p, targets: targets}
	for _, node := range w.nodes {
		client := &fasthttp.HostClient{Addr: node.addr, MaxConns: senders, DisablePathNormalizing: true, NoDefaultUserAgentHeader: true}
		defer client.CloseIdleConnections()
		l.clients = append(l.clients, client)
	}
	watching, stop := context.WithCancel(ctx)
	defer stop()
	go l.watch(watching)
	lists := make([][]sent, senders)
	faults := make(chan error, senders)
	var group sync.WaitGroup
	l.start = time.Now()
	for i := range senders {
		group.Go(func() {
			var err error
			if lists[i], err = l.sender(ctx, l.clients[i%len(l.clients)]); err != nil {
				faults <- err
			}
		})
	}
	group.Wait()
	select {
	case err := <-faults:
		return result{}, err
	default:
	}
	end := time.Now()
	for l.delivered.Load() < l.live.Load() && time.Since(end) < patience && ctx.Err() == nil {
		time.Sleep(time.Millisecond)
	}
	arrivals, err := w.arrivals(ctx)
	if err != nil {
		return result{}, err
	}
	return l.result(slices.Concat(lists...), arrivals, end)
}

// watch keeps delivered what the receivers count.
func (l *load) watch(ctx context.Context) {
	for ctx.Err() == nil {
		if n, err := l.arrived(ctx); err == nil {
			l.delivered.Store(int64(n))
		}
		time.Sleep(3 * time.Millisecond)
	}
}

// sender is one connection of a load.
func (l *load) sender(ctx context.Context, client *fasthttp.HostClient) (list []sent, err error) {
	request, response := fasthttp.AcquireRequest(), fasthttp.AcquireResponse()
	defer fasthttp.ReleaseRequest(request)
	defer fasthttp.ReleaseResponse(response)
	for ctx.Err() == nil && time.Since(l.start) < l.length {
		if l.rate == 0 && !l.unbound && l.live.Load()-l.delivered.Load() >= outstanding {
			time.Sleep(time.Millisecond)
			continue
		}
		n := l.next.Add(1) - 1
		due := time.Now()
		if l.rate > 0 {
			if due = l.start.Add(time.Duration(float64(n) / l.rate * float64(time.Second))); due.Sub(l.start) >= l.length {
				break
			}
			time.Sleep(time.Until(due))
		}
		t := l.targets[n%int64(len(l.targets))]
		request.SetRequestURI("http://" + client.Addr + t.path)
		request.Header.Set("Authorization", "Bearer "+l.token)
		request.Header.SetMethod(http.MethodPost)
		request.Header.SetContentType("application/json")
		request.SetBodyString(t.body)
		s := sent{due: due.UnixNano(), began: time.Now().UnixNano()}
		if err := client.DoTimeout(request, response, 30*time.Second); err != nil {
			return nil, err
		}
		s.at = time.Now().UnixNano()
		if response.StatusCode() != http.StatusCreated {
			return nil, fmt.Errorf("status %d: %s", response.StatusCode(), response.Body())
		}
		_, id, _ := bytes.Cut(response.Body(), []byte(`"id":"`))
		if copy(s.id[:], id) != idBytes {
			return nil, fmt.Errorf("no id: %s", response.Body())
		}
		if !t.dead {
			l.live.Add(1)
			list = append(list, s)
		}
	}
	return list, nil
}

// result compares what was accepted with what has arrived.
func (l *load) result(list []sent, arrivals []arrival, end time.Time) (result, error) {
	if len(list) == 0 {
		return result{}, fmt.Errorf("nothing was accepted")
	}
	at := make(map[[idBytes]byte]int64, len(arrivals))
	for _, a := range arrivals {
		if _, twice := at[a.id]; !twice {
			at[a.id] = a.at
		}
	}
	var r result
	var post, way, due []int64
	in, lost := 0, 0
	for _, s := range list {
		post = append(post, s.at-s.began)
		arrived, ok := at[s.id]
		if !ok {
			lost++
			continue
		}
		if arrived <= end.UnixNano() {
			in++
		}
		way, due = append(way, max(0, arrived-s.at)), append(due, arrived-s.due)
	}
	if lost > 0 {
		return result{}, fmt.Errorf("%d of %d messages are not delivered %s after the last was accepted", lost, len(list), patience)
	}
	seconds := end.Sub(l.start).Seconds()
	r.accepted, r.delivered, r.backlog = float64(len(list))/seconds, float64(in)/seconds, len(list)-in
	r.post50, r.post99 = percentile(post, 50), percentile(post, 99)
	r.p50, r.p99 = percentile(way, 50), percentile(way, 99)
	r.due99 = percentile(due, 99)
	return r, nil
}

// percentile sorts nanoseconds and returns one of them in ms.
func percentile(list []int64, p int) float64 {
	slices.Sort(list)
	return float64(list[len(list)*p/100]) / 1e6
}
