package egress

import (
	"compress/gzip"
	"context"
	"io"
	"net/http"
	"strings"
	"time"
)

// body is the body of an answer, inside all its bounds.
type body struct {
	content io.Reader // capped and decompressed
	source  io.Closer
	ctx     context.Context // of the request: it ends with the deadline, which ends the reading
	idle    time.Duration   // 0 is no bound
	expire  func()          // ends ctx because the target was idle for too long
	release func()          // ends ctx because nobody needs it any more
}

// wrap puts the bounds around the body of response, or tells that it breaks one.
// gunzip is whether gzip was asked for.
//
// The wire is bounded too: compressed data may be endless and yet contain nothing.
// Its bound leaves room for compression that only makes a body larger.
func (b *body) wrap(response *http.Response, limit int64, gunzip bool) error {
	if response.StatusCode == http.StatusSwitchingProtocols {
		return failure(b.ctx, errSwitched) // net/http hands such a connection over, and no deadline would end it
	}
	b.content = response.Body
	coding := response.Header.Values("Content-Encoding")
	if gunzip && len(coding) == 1 && strings.EqualFold(coding[0], "gzip") {
		wire := 2*limit + 64<<10
		if response.ContentLength > wire {
			return ErrTooLarge
		}
		b.content = &unzipped{raw: &capped{response.Body, wire}}
		response.Header.Del("Content-Encoding")
		response.Header.Del("Content-Length")
	} else if response.ContentLength > limit {
		return ErrTooLarge
	}
	b.content = &capped{b.content, limit}
	return nil
}

// Read fails with ErrDeadline, ErrTooLarge, ErrUnreachable, or context.Canceled.
func (b *body) Read(p []byte) (n int, err error) {
	b.wait(func() { n, err = b.content.Read(p) })
	if err != nil && err != io.EOF {
		err = failure(b.ctx, err)
	}
	return n, err
}

// Close may come before the end: the connection is then dropped with what is left.
func (b *body) Close() error {
	err := b.source.Close()
	b.release()
	return err
}

// wait runs one wait for the target.
func (b *body) wait(until func()) {
	if b.idle > 0 {
		defer time.AfterFunc(b.idle, b.expire).Stop()
	}
	until()
}

// capped passes left bytes and fails with ErrTooLarge if there are more.
type capped struct {
	source io.Reader
	left   int64
}

func (c *capped) Read(p []byte) (int, error) {
	if int64(len(p)) > c.left+1 {
		p = p[:c.left+1]
	}
	n, err := c.source.Read(p)
	if int64(n) > c.left {
		n, c.left = int(c.left), 0
		return n, ErrTooLarge
	}
	c.left -= int64(n)
	return n, err
}

// unzipped starts to decompress when it is read: an empty body is no gzip file.
type unzipped struct {
	raw io.Reader
	*gzip.Reader
}

func (u *unzipped) Read(p []byte) (int, error) {
	if u.Reader == nil {
		r, err := gzip.NewReader(u.raw)
		if err != nil {
			return 0, err
		}
		u.Reader = r
	}
	return u.Reader.Read(p)
}
