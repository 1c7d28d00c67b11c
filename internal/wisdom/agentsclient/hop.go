package agentsclient

import (
	"bufio"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"math"
	"net"
	"net/http"
	"sync"
	"time"

	"github.com/IntunoAI/intuno-go/internal/clock"
	"github.com/IntunoAI/intuno-go/internal/wisdom/personal"
)

const (
	dialTimeout = 5 * time.Second
	// idleLife is how long an unused connection is kept: well below the 120 s after
	// which the host closes it.
	idleLife = 60 * time.Second
	// maxHeader bounds the header of an answer in bytes, interim answers included.
	maxHeader = 32 << 10
	// maxInterim is how many 1xx answers may come before the final one.
	maxInterim = 5
)

var (
	errHeader   = errors.New("answer header larger than 32 KiB")
	errBusy     = errors.New("every connection to the host is in use")
	errSwitched = errors.New("the host switched protocols")
)

// hop is a pool of connections to the one host. It writes HTTP/1.1 requests itself
// and reads answers with net/http's reader. In return for about 200 lines it gives
// what http.Transport and fasthttp.HostClient do not: no request is ever sent twice,
// whatever its method or headers; a request that never left is told from one with an
// unknown outcome; nothing is written that request.go does not write; and a connection
// with unread bytes on it is never used again, so that no answer can reach the wrong
// user. `make bench` compares it with a bare reverse proxy.
type hop struct {
	addr    string // host:port
	tls     *tls.Config
	now     clock.Now
	busy    chan struct{} // holds one token per connection in use
	mu      sync.Mutex
	idle    []*conn // the one used last is at the end
	closed  bool
	dialing net.Dialer
}

// conn is one connection, used by one request at a time.
type conn struct {
	net.Conn
	plain  net.Conn // below TLS
	r      *bufio.Reader
	w      *bufio.Writer
	budget int64 // bytes that may still be read
	idle   time.Time
}

func newHop(addr string, conf *tls.Config, most int, now clock.Now) *hop {
	return &hop{addr: addr, tls: conf, now: now, busy: make(chan struct{}, most),
		dialing: net.Dialer{Timeout: dialTimeout, KeepAlive: 30 * time.Second}}
}

// Read implements io.Reader within the budget.
func (c *conn) Read(p []byte) (int, error) {
	if c.budget <= 0 {
		return 0, errHeader
	}
	if int64(len(p)) > c.budget {
		p = p[:c.budget]
	}
	n, err := c.Conn.Read(p)
	c.budget -= int64(n)
	return n, err
}

// send sends one request and reads the header of the final answer, both before
// deadline. After an error nothing is left to close. Errors before the first byte
// was written are personal.ErrNothingDone; once it is written there is no second try.
func (h *hop) send(ctx context.Context, deadline time.Time, write func(*bufio.Writer) error) (*exchange, error) {
	c, err := h.acquire(ctx, deadline)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", personal.ErrNothingDone, err)
	}
	x := &exchange{hop: h, conn: c}
	err = c.SetDeadline(deadline)
	x.stop = context.AfterFunc(ctx, func() { _ = c.SetDeadline(time.Unix(1, 0)) })
	if err = errors.Join(err, ctx.Err()); err != nil {
		x.discard()
		return nil, fmt.Errorf("%w: %w", personal.ErrNothingDone, err)
	}
	writeErr := write(c.w)
	if writeErr == nil {
		writeErr = c.w.Flush()
	}
	// A host that refuses early may close before it has read everything: its answer
	// counts, if it is there.
	x.Response, err = c.readHeader()
	if err != nil {
		x.discard()
		return nil, errors.Join(writeErr, err)
	}
	x.broken = writeErr != nil
	return x, nil
}

// readHeader reads answers up to the final one.
func (c *conn) readHeader() (*http.Response, error) {
	c.budget = maxHeader
	for range maxInterim {
		r, err := http.ReadResponse(c.r, nil)
		if err != nil {
			if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
				return nil, errors.New("the host closed the connection without an answer")
			}
			var network net.Error
			if errors.As(err, &network) || errors.Is(err, errHeader) {
				return nil, err
			}
			return nil, errors.New("the host's answer is not HTTP") // the parser's text repeats it
		}
		switch {
		case r.StatusCode == http.StatusSwitchingProtocols:
			return nil, errSwitched
		case r.StatusCode >= 200:
			c.budget = math.MaxInt64
			return r, nil
		}
	}
	return nil, errors.New("too many interim answers")
}

// exchange is a request whose answer's header has arrived.
type exchange struct {
	*http.Response
	hop    *hop
	conn   *conn
	stop   func() bool
	broken bool
}

// body reads the whole body, at most limit bytes, and ends the exchange. On an error
// the connection is closed.
func (x *exchange) body(limit int) ([]byte, error) {
	if x.ContentLength > int64(limit) {
		x.discard()
		return nil, errTooLarge
	}
	var data []byte
	var err error
	if x.ContentLength >= 0 {
		data = make([]byte, x.ContentLength)
		_, err = io.ReadFull(x.Body, data)
	} else {
		data, err = io.ReadAll(io.LimitReader(x.Body, int64(limit)+1))
	}
	if err == nil && len(data) > limit {
		err = errTooLarge
	}
	if err != nil {
		x.discard()
		return nil, fmt.Errorf("read answer: %w", err)
	}
	x.release()
	return data, nil
}

// release gives the connection back for the next request, unless something about it
// is not as it should be.
func (x *exchange) release() {
	if !x.stop() || x.broken || x.Close || x.conn.r.Buffered() > 0 {
		x.hop.drop(x.conn)
		return
	}
	x.hop.put(x.conn)
}

// discard closes the connection.
func (x *exchange) discard() {
	x.stop()
	x.hop.drop(x.conn)
}

// acquire returns a connection on which nothing was sent since its last answer.
func (h *hop) acquire(ctx context.Context, deadline time.Time) (*conn, error) {
	select {
	case h.busy <- struct{}{}:
	default:
		if err := h.queue(ctx, deadline); err != nil {
			return nil, err
		}
	}
	for c := h.pop(); c != nil; c = h.pop() {
		if h.now().Sub(c.idle) < idleLife && alive(c.plain, c.plain == c.Conn) {
			return c, nil
		}
		c.end()
	}
	c, err := h.dial(ctx, deadline)
	if err != nil {
		<-h.busy
		return nil, err
	}
	return c, nil
}

// queue waits until a connection is free.
func (h *hop) queue(ctx context.Context, deadline time.Time) error {
	timer := time.NewTimer(deadline.Sub(h.now()))
	defer timer.Stop()
	select {
	case h.busy <- struct{}{}:
		return nil
	case <-timer.C:
		return errBusy
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (h *hop) dial(ctx context.Context, deadline time.Time) (*conn, error) {
	ctx, cancel := context.WithDeadline(ctx, deadline)
	defer cancel()
	plain, err := h.dialing.DialContext(ctx, "tcp", h.addr)
	if err != nil {
		return nil, fmt.Errorf("dial host: %w", err)
	}
	c := &conn{Conn: plain, plain: plain}
	if h.tls != nil {
		secure := tls.Client(plain, h.tls)
		if err := secure.HandshakeContext(ctx); err != nil {
			_ = plain.Close()
			return nil, fmt.Errorf("dial host: %w", err)
		}
		c.Conn = secure
	}
	c.r = bufio.NewReaderSize(c, 8<<10)
	c.w = bufio.NewWriterSize(c.Conn, 4<<10)
	return c, nil
}

func (h *hop) pop() *conn {
	h.mu.Lock()
	defer h.mu.Unlock()
	n := len(h.idle) - 1
	if n < 0 {
		return nil
	}
	c := h.idle[n]
	h.idle[n] = nil
	h.idle = h.idle[:n]
	return c
}

// put keeps a connection for the next request, and closes the ones that nobody used
// for long.
func (h *hop) put(c *conn) {
	c.idle = h.now()
	var old []*conn
	h.mu.Lock()
	for len(h.idle) > 0 && c.idle.Sub(h.idle[0].idle) >= idleLife {
		old = append(old, h.idle[0])
		h.idle = h.idle[1:]
	}
	if h.closed {
		old = append(old, c)
	} else {
		h.idle = append(h.idle, c)
	}
	h.mu.Unlock()
	<-h.busy
	for _, c := range old {
		c.end()
	}
}

// drop closes a connection that was in use.
func (h *hop) drop(c *conn) {
	c.end()
	<-h.busy
}

func (c *conn) end() { _ = c.Conn.Close() } // nothing is lost: what was written was flushed

// close closes what is idle now and what becomes idle later.
func (h *hop) close() {
	h.mu.Lock()
	idle := h.idle
	h.idle, h.closed = nil, true
	h.mu.Unlock()
	for _, c := range idle {
		c.end()
	}
}
