package httpx

import (
	"bufio"
	"bytes"
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
	return ListIn([]T{}, rows, element)
}

// ListIn is List inside of an object: frame, whose last member is an empty array, which is
// where the rows go.
func ListIn[R, T any](frame any, rows []R, element func(ctx context.Context, row R) (T, error)) Reply {
	return Reply{StreamType: jsonType[0], Stream: func(ctx context.Context, w *Stream) error {
		ctx, cancel := context.WithTimeout(ctx, listTime)
		defer cancel()
		head, tail, err := cut(frame)
		if err != nil {
			return err
		}
		out := bufio.NewWriterSize(w, listBuffer)
		_, _ = out.Write(head) // an error stays: Flush returns it
		first := true
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
			if !first {
				_ = out.WriteByte(',')
			}
			first = false
			if err := encodeJSON(out, v); err != nil {
				return fmt.Errorf("send an element: %w", err)
			}
		}
		_, _ = out.Write(tail)
		return out.Flush()
	}}
}

// cut is the JSON of frame in two, between the brackets of the array that it ends with.
func cut(frame any) (head, tail []byte, err error) {
	text, err := JSON(frame)
	if err != nil {
		return nil, nil, fmt.Errorf("encode what is around a list: %w", err)
	}
	end := len(bytes.TrimRight(text, "}"))
	if !bytes.HasSuffix(text[:end], []byte("[]")) {
		return nil, nil, fmt.Errorf("%T does not end with an empty list", frame)
	}
	return text[:end-1], text[end-1:], nil
}
