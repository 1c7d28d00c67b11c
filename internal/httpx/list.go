package httpx

import (
	"bufio"
	"context"
	"fmt"
	"time"

	"github.com/IntunoAI/intuno-go/internal/fault"
)

const (
	listBuffer = 64 << 10        // bytes of small elements that are sent together
	listTime   = 5 * time.Minute // for all of a list
)

// List streams rows as a JSON array, the same bytes as Reply.JSON has, for rows that are
// too large to be held all at once: element completes one right before it is encoded, and
// nothing is kept of it. A row that is fault.NotFound by then is left out. Any other error
// aborts the connection, as does a reader that is too slow.
func List[R, T any](rows []R, element func(ctx context.Context, row R) (T, error)) Reply {
	return Reply{StreamType: jsonType[0], Stream: func(ctx context.Context, w *Stream) error {
		ctx, cancel := context.WithTimeout(ctx, listTime)
		defer cancel()
		out := bufio.NewWriterSize(w, listBuffer)
		separator := byte('[')
		for _, row := range rows {
			if err := ctx.Err(); err != nil {
				return fmt.Errorf("send a list: %w", err)
			}
			v, err := element(ctx, row)
			if fault.Is(err, fault.NotFound) {
				continue
			}
			if err != nil {
				return err
			}
			_ = out.WriteByte(separator) // an error stays: Flush returns it
			separator = ','
			if err := encodeJSON(out, v); err != nil {
				return fmt.Errorf("send an element: %w", err)
			}
		}
		if separator == '[' {
			_ = out.WriteByte('[')
		}
		_ = out.WriteByte(']')
		return out.Flush()
	}}
}
