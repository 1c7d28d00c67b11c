package sqldb

import (
	"context"
	"fmt"
	"math"
	"slices"
	"sync"
	"time"

	"github.com/IntunoAI/intuno-go/internal/fault"
)

// batchTime bounds one batch, what is run again included: the callers it was made of
// may have left, so none of their deadlines holds it.
const batchTime = 10 * time.Second

// Batch lets concurrent callers share transactions (group commit: DeWitt et al.,
// Implementation Techniques for Main Memory Database Systems, SIGMOD 1984, §5.2): while
// one batch is committed, the work that comes in waits, and all of it is the next.
// Nobody is made to wait for company, so a caller who is alone gets a batch of one at
// once. It is safe for concurrent use. The zero value is not; see NewBatch.
type Batch[W any] struct {
	run     func(ctx context.Context, work []W) error
	size    int // works in one batch
	bound   int // works that wait
	abreast int // batches at a time

	mu      sync.Mutex
	waiting []*member[W]
	running int
}

type member[W any] struct {
	work W
	done chan error // of room for one: nobody may be there to take it
}

// NewBatch returns a Batch of up to size works, of which up to abreast run at a time
// while up to bound works wait. run does all of work in one transaction, or nothing and
// returns an error; it MAY RUN TWICE for the same work. What becomes of each work, a
// refusal for instance, it notes there: W is a pointer.
func NewBatch[W any](size, bound, abreast int, run func(ctx context.Context, work []W) error) *Batch[W] {
	return &Batch[W]{run: run, size: size, bound: bound, abreast: abreast}
}

// Do returns when the batch with w is committed. Only if the error is nil may the caller
// look at w. A batch that fails is divided until those whose work fails are alone: the
// others do not notice. A caller whose ctx ends leaves at once; work that was still
// waiting is not done then, and that of a running batch may be. Unavailable, with a time
// to come back, if too much is waiting.
func (b *Batch[W]) Do(ctx context.Context, w W) error { return b.do(ctx, w, b.bound) }

// DoAnyway is Do for what ends work that was begun: it is done however much is waiting.
// The caller bounds what is begun.
func (b *Batch[W]) DoAnyway(ctx context.Context, w W) error { return b.do(ctx, w, math.MaxInt) }

func (b *Batch[W]) do(ctx context.Context, w W, bound int) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	m := &member[W]{w, make(chan error, 1)}
	b.mu.Lock()
	if len(b.waiting) >= bound {
		b.mu.Unlock()
		return fault.New(fault.Unavailable, "overloaded", "too much is waiting to be written, try again").After(time.Second)
	}
	b.waiting = append(b.waiting, m)
	if b.running < b.abreast {
		b.running++
		go b.work(context.WithoutCancel(ctx))
	}
	b.mu.Unlock()
	select {
	case err := <-m.done:
		return err
	case <-ctx.Done():
	}
	b.mu.Lock()
	b.waiting = slices.DeleteFunc(b.waiting, func(other *member[W]) bool { return other == m })
	b.mu.Unlock()
	return ctx.Err()
}

// Waiting tells how much work waits for its batch.
func (b *Batch[W]) Waiting() int {
	b.mu.Lock()
	defer b.mu.Unlock()
	return len(b.waiting)
}

// work runs batches until nothing waits.
func (b *Batch[W]) work(ctx context.Context) {
	for {
		b.mu.Lock()
		n := min(len(b.waiting), b.size)
		if n == 0 {
			b.running--
			b.mu.Unlock()
			return
		}
		batch := slices.Clone(b.waiting[:n])
		b.waiting = slices.Delete(b.waiting, 0, n)
		b.mu.Unlock()
		func() {
			ctx, cancel := context.WithTimeout(ctx, batchTime)
			defer cancel()
			b.settle(ctx, batch)
		}()
	}
}

// settle runs a batch, or its halves if it fails.
func (b *Batch[W]) settle(ctx context.Context, batch []*member[W]) {
	work := make([]W, len(batch))
	for i, m := range batch {
		work[i] = m.work
	}
	err := b.guarded(ctx, work)
	if half := len(batch) / 2; err != nil && half > 0 && ctx.Err() == nil {
		b.settle(ctx, batch[:half])
		b.settle(ctx, batch[half:])
		return
	}
	for _, m := range batch {
		m.done <- err
	}
}

// guarded is run; a panic there would end the process, because its goroutine belongs to
// no request.
func (b *Batch[W]) guarded(ctx context.Context, work []W) (err error) {
	defer func() {
		if r := recover(); r != nil {
			err = fmt.Errorf("a batch of writes panicked: %v", r)
		}
	}()
	return b.run(ctx, work)
}
