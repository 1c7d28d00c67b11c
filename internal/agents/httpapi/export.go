package httpapi

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net/http"
	"time"

	"github.com/IntunoAI/intuno-go/api"
	"github.com/IntunoAI/intuno-go/internal/agents/chat"
	"github.com/IntunoAI/intuno-go/internal/agents/entity"
	"github.com/IntunoAI/intuno-go/internal/agents/export"
	"github.com/IntunoAI/intuno-go/internal/agents/memory"
	"github.com/IntunoAI/intuno-go/internal/httpx"
	"github.com/IntunoAI/intuno-go/internal/principal"
)

// exportBuffer is how many bytes of an export are sent at once.
const exportBuffer = 64 << 10

// exportEntity streams everything as one JSON object (api.Export), so that its size
// is not bounded by memory.
func (a *API) exportEntity(ctx context.Context, p principal.Principal, in *named) (httpx.Reply, error) {
	if _, err := a.Entities.Get(ctx, p, in.Name); err != nil {
		return httpx.Reply{}, err
	}
	return httpx.Reply{
		Header:     http.Header{"Content-Disposition": {fmt.Sprintf("attachment; filename=%q", in.Name+".json")}},
		StreamType: "application/json",
		Stream: func(ctx context.Context, w *httpx.Stream) error {
			ctx, cancel := context.WithTimeout(ctx, export.MaxTime)
			defer cancel()
			buffer := bufio.NewWriterSize(w, exportBuffer)
			e := exportWriter{w: buffer}
			if err := a.Exports.Visit(ctx, p, in.Name, &e); err != nil {
				return err
			}
			e.open("deliveries")
			e.text("]}")
			if e.err != nil {
				return e.err
			}
			return buffer.Flush()
		},
	}, nil
}

// exportWriter writes the members of api.Export in their order while they come.
type exportWriter struct {
	w    io.StringWriter
	list int // how many of exportLists were opened
	any  bool
	err  error
}

var exportLists = []string{"memories", "messages", "deliveries"}

// Entity implements export.Visitor.
func (e *exportWriter) Entity(x entity.Entity, at time.Time) error {
	e.text(`{"version":1,"exported_at":`)
	e.value(api.At(at))
	e.text(`,"entity":`)
	e.value(wireEntity(x))
	return e.err
}

// Memory implements export.Visitor.
func (e *exportWriter) Memory(m memory.Memory) error {
	e.item("memories", wireMemory(m))
	return e.err
}

// Message implements export.Visitor.
func (e *exportWriter) Message(m chat.Message) error {
	e.item("messages", wireMessage(m))
	return e.err
}

// Delivery implements export.Visitor.
func (e *exportWriter) Delivery(d chat.StoredDelivery) error {
	e.item("deliveries", wireDelivery(d))
	return e.err
}

// open opens the lists up to the named one.
func (e *exportWriter) open(list string) {
	for e.list == 0 || exportLists[e.list-1] != list {
		if e.list > 0 {
			e.text("]")
		}
		e.text(`,"` + exportLists[e.list] + `":[`)
		e.list++
		e.any = false
	}
}

func (e *exportWriter) item(list string, v any) {
	e.open(list)
	if e.any {
		e.text(",")
	}
	e.any = true
	e.value(v)
}

func (e *exportWriter) value(v any) {
	text, err := httpx.JSON(v)
	if err != nil && e.err == nil {
		e.err = fmt.Errorf("encode export: %w", err)
	}
	e.text(string(text))
}

// text writes s, unless something has gone wrong before.
func (e *exportWriter) text(s string) {
	if e.err == nil {
		_, e.err = e.w.WriteString(s)
	}
}
