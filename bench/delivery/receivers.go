package main

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/valyala/fasthttp"
)

// What the receivers' process serves besides webhooks, which are every other path.
const (
	countPath    = "/count"    // how many webhooks were called since the last /arrivals
	arrivalsPath = "/arrivals" // which and when; forgets them
	hangPath     = "/hang"     // a webhook that never answers
)

const idBytes = 36 // of a message id as text

// arrival is a webhook that was called.
type arrival struct {
	id [idBytes]byte
	at int64 // Unix nanoseconds
}

const arrivalBytes = idBytes + 8

// serveReceivers is the process of the receivers: each answers 200 at once. The body is
// read and not looked at; which message it is, its header says.
func serveReceivers(addr string) error {
	var mu sync.Mutex
	var arrivals []arrival
	server := &fasthttp.Server{Concurrency: 16384, MaxRequestBodySize: 1 << 20, Handler: func(c *fasthttp.RequestCtx) {
		switch string(c.Path()) {
		case countPath:
			mu.Lock()
			n := len(arrivals)
			mu.Unlock()
			c.SetBodyString(strconv.Itoa(n))
		case arrivalsPath:
			mu.Lock()
			list := arrivals
			arrivals = nil
			mu.Unlock()
			body := make([]byte, 0, len(list)*arrivalBytes)
			for _, a := range list {
				body = binary.BigEndian.AppendUint64(append(body, a.id[:]...), uint64(a.at))
			}
			c.SetBody(body)
		case hangPath:
			time.Sleep(time.Minute)
		default:
			a := arrival{at: time.Now().UnixNano()}
			if copy(a.id[:], c.Request.Header.Peek("Webhook-Id")) != idBytes {
				c.SetStatusCode(http.StatusBadRequest)
				return
			}
			mu.Lock()
			arrivals = append(arrivals, a)
			mu.Unlock()
		}
	}}
	return server.ListenAndServe(addr)
}

// ask reads an answer of the receivers' process.
func (b *bench) ask(ctx context.Context, path string) ([]byte, error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+b.receivers+path, nil)
	if err != nil {
		return nil, err
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return nil, err
	}
	defer response.Body.Close()
	return io.ReadAll(response.Body)
}

// arrived is how many webhooks were called since the last arrivals.
func (b *bench) arrived(ctx context.Context) (int, error) {
	text, err := b.ask(ctx, countPath)
	if err != nil {
		return 0, err
	}
	return strconv.Atoi(strings.TrimSpace(string(text)))
}

// arrivals are the webhooks that were called since the last time.
func (b *bench) arrivals(ctx context.Context) ([]arrival, error) {
	text, err := b.ask(ctx, arrivalsPath)
	if err != nil {
		return nil, err
	}
	if len(text)%arrivalBytes != 0 {
		return nil, errors.New("the receivers' answer is cut")
	}
	var list []arrival
	for ; len(text) > 0; text = text[arrivalBytes:] {
		a := arrival{at: int64(binary.BigEndian.Uint64(text[idBytes:arrivalBytes]))}
		copy(a.id[:], text)
		list = append(list, a)
	}
	return list, nil
}

// settled waits until no webhook has been called for a moment, and forgets those that
// were.
func (b *bench) settled(ctx context.Context) error {
	for range 600 {
		before, err := b.arrived(ctx)
		if err != nil {
			return err
		}
		time.Sleep(100 * time.Millisecond)
		after, err := b.arrived(ctx)
		if err != nil {
			return err
		}
		if before == after {
			_, err := b.arrivals(ctx)
			return err
		}
	}
	return fmt.Errorf("the receivers never come to rest")
}
