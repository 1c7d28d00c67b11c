package httpapi

import (
	"cmp"
	"context"
	"net/http"
	"slices"
	"sync"
	"time"

	"github.com/IntunoAI/intuno-go/api"
	"github.com/IntunoAI/intuno-go/internal/httpx"
	"github.com/IntunoAI/intuno-go/internal/id"
	"github.com/IntunoAI/intuno-go/internal/principal"
	"github.com/IntunoAI/intuno-go/internal/wisdom/broker"
)

// Broker serves invocations and their log (contract §5).
type Broker struct {
	Service *broker.Service
	Pulse   time.Duration // between two comments of a stream; 0: 15 s
}

func (h *Broker) routes() []httpx.Route {
	return []httpx.Route{
		httpx.Post("/broker/invoke", httpx.Delegable, h.invoke,
			httpx.Doc("Invoke an agent; refusals and failures are 200 too, with success false")),
		httpx.Post("/broker/invoke/stream", httpx.User, h.stream, httpx.Streams(),
			httpx.Doc("Invoke an agent and get its answer as it comes: events chunk, result, error, and at last done")),
		httpx.Get("/broker/logs", httpx.User, h.logs, httpx.Returns[[]api.InvocationLog](),
			httpx.Doc("List invocations that you made or that others made at your agents, newest first")),
		httpx.Get("/broker/logs/agent/{agent_uuid}", httpx.User, h.agentLogs, httpx.Returns[[]api.InvocationLog](),
			httpx.Doc("List your own invocations of an agent, newest first")),
	}
}

type invokeInput struct{ Body invokeBody }

type invokeBody struct {
	AgentID        string       `json:"agent_id" doc:"Slug of the agent"`
	Input          httpx.Object `json:"input"`
	ConversationID *string      `json:"conversation_id,omitempty" nullable:"true" format:"uuid" doc:"null: a new one"`
	MessageID      *string      `json:"message_id,omitempty" nullable:"true" format:"uuid" doc:"The user's message, if it is in the conversation already"`
	ExternalUserID *string      `json:"external_user_id,omitempty" nullable:"true" maxLength:"255" doc:"Your own name for who talks"`
}

// request is the body as the broker takes it.
func (b *invokeBody) request() broker.Request {
	r := broker.Request{Agent: b.AgentID, Input: b.Input, ExternalUser: b.ExternalUserID}
	if b.ConversationID != nil {
		r.Conversation, _ = id.Parse[id.Conversation](*b.ConversationID)
	}
	if b.MessageID != nil {
		r.Message, _ = id.Parse[id.Message](*b.MessageID)
	}
	return r
}

func (h *Broker) invoke(ctx context.Context, p principal.Principal, in *invokeInput) (api.InvokeResponse, error) {
	result, err := h.Service.Invoke(ctx, p, in.Body.request())
	return toInvokeResponse(result), err
}

func toInvokeResponse(r broker.Result) api.InvokeResponse {
	return api.InvokeResponse{Success: r.Success, Data: r.Data, Error: textOrNull(r.Code.Text()), ErrorCode: textOrNull(r.Code), StatusCode: r.Status,
		LatencyMS: r.Latency.Milliseconds(), ConversationID: textOrNull(r.Conversation), InvocationID: textOrNull(r.Invocation)}
}

// textOrNull is null for the empty string.
func textOrNull[T ~string](s T) *string {
	if s == "" {
		return nil
	}
	text := string(s)
	return &text
}

func (h *Broker) stream(ctx context.Context, p principal.Principal, in *invokeInput) (httpx.Reply, error) {
	s, err := h.Service.Stream(ctx, p, in.Body.request())
	if err != nil {
		return httpx.Reply{}, err
	}
	return httpx.Reply{Status: http.StatusOK, StreamType: httpx.EventStream, Stream: func(ctx context.Context, w *httpx.Stream) error {
		out := &events{w: w}
		stop := out.pulse(cmp.Or(h.Pulse, pulse))
		defer stop()
		return s.Run(ctx, out)
	}}, nil
}

// pulse keeps connections alive that proxies would take for dead.
const pulse = 15 * time.Second

// events writes the events of an invocation. It is safe for concurrent use.
type events struct {
	mu sync.Mutex
	w  *httpx.Stream
}

var _ broker.Sink = (*events)(nil)

// pulse writes a comment line at every interval until stop is called, which waits for
// the last one. A comment that cannot be written is nothing: the next event tells.
func (e *events) pulse(interval time.Duration) (stop func()) {
	done := make(chan struct{})
	var group sync.WaitGroup
	group.Go(func() {
		ticker := time.NewTicker(interval)
		defer ticker.Stop()
		for {
			select {
			case <-done:
				return
			case <-ticker.C:
				e.mu.Lock()
				_ = e.w.Comment("")
				e.mu.Unlock()
			}
		}
	})
	return func() { close(done); group.Wait() }
}

// event sends one event. Its data are one line.
func (e *events) event(name string, data []byte) error {
	e.mu.Lock()
	defer e.mu.Unlock()
	if _, err := e.w.Write([]byte("event: " + name + "\ndata: " + string(data) + "\n\n")); err != nil {
		return err
	}
	return e.w.Flush()
}

func (e *events) encoded(name string, v any) error {
	data, err := httpx.JSON(v)
	if err != nil {
		return err
	}
	return e.event(name, data)
}

// Chunk implements broker.Sink.
func (e *events) Chunk(value []byte) error { return e.event(api.EventChunk, value) }

// Result implements broker.Sink.
func (e *events) Result(r broker.Result) error {
	return e.encoded(api.EventResult, toInvokeResponse(r))
}

// Fail implements broker.Sink.
func (e *events) Fail(r broker.Result) error {
	return e.encoded(api.EventInvokeError, api.InvokeError{Error: r.Code.Text(), ErrorCode: string(r.Code), StatusCode: r.Status})
}

// Done implements broker.Sink.
func (e *events) Done(r broker.Result) error {
	return e.encoded(api.EventDone, api.InvokeDone{Success: r.Success, StatusCode: r.Status, LatencyMS: r.Latency.Milliseconds(),
		ConversationID: textOrNull(r.Conversation), InvocationID: textOrNull(r.Invocation)})
}

type logsInput struct {
	Limit  int     `query:"limit" minimum:"1" maximum:"100" default:"50"`
	Offset int     `query:"offset" minimum:"0" maximum:"1000000" default:"0"`
	Agent  *string `query:"agent_id" format:"uuid" doc:"Only of this agent: its id, not its slug"`
	From   *string `query:"from_date" format:"date-time" doc:"Not before this moment"`
	To     *string `query:"to_date" format:"date-time" doc:"Not after this moment"`
	Status *string `query:"status" enum:"success,error,timeout"`
}

func (h *Broker) logs(ctx context.Context, p principal.Principal, in *logsInput) (httpx.Reply, error) {
	q := broker.LogQuery{Limit: in.Limit, Offset: in.Offset, From: moment(in.From), To: moment(in.To)}
	if in.Agent != nil {
		q.Agent = id.Agent(*in.Agent)
	}
	if in.Status != nil {
		q.Status = *in.Status
	}
	if !q.From.IsZero() {
		q.From = q.From.Add(time.Microsecond - 1) // rows have whole microseconds: none from before it
	}
	list, err := h.Service.Logs(ctx, p, q)
	return listLogs(h.Service, p, list), err
}

// moment is the time that a checked parameter says; zero without one.
func moment(text *string) time.Time {
	var t api.Time
	if text == nil || t.UnmarshalText([]byte(*text)) != nil {
		return time.Time{}
	}
	return t.Std()
}

type agentLogsInput struct {
	Agent  string `path:"agent_uuid" format:"uuid"`
	Limit  int    `query:"limit" minimum:"1" maximum:"100" default:"50"`
	Offset int    `query:"offset" minimum:"0" maximum:"1000000" default:"0"`
}

func (h *Broker) agentLogs(ctx context.Context, p principal.Principal, in *agentLogsInput) (httpx.Reply, error) {
	list, err := h.Service.Logs(ctx, p, broker.LogQuery{Agent: id.Agent(in.Agent), Mine: true, Limit: in.Limit, Offset: in.Offset})
	return listLogs(h.Service, p, list), err
}

// listLogs answers rows as the service lists them to p.
func listLogs(s *broker.Service, p principal.Principal, rows []broker.Log) httpx.Reply {
	if !slices.ContainsFunc(rows, func(l broker.Log) bool { return l.Large }) {
		return httpx.Reply{JSON: toLogs(rows)}
	}
	return httpx.List(rows, func(ctx context.Context, l broker.Log) (api.InvocationLog, error) {
		l, err := s.Payloads(ctx, p, l)
		return toLog(l), err
	})
}

func toLogs(rows []broker.Log) []api.InvocationLog {
	list := make([]api.InvocationLog, len(rows))
	for i, row := range rows {
		list[i] = toLog(row)
	}
	return list
}

// toLog is the wire form of a row as the service showed it.
func toLog(l broker.Log) api.InvocationLog {
	shown := api.InvocationLog{
		ID: string(l.ID), Kind: l.Kind, CallerUserID: textOrNull(l.Caller), TargetAgentID: textOrNull(l.Agent), AgentID: textOrNull(l.Agent),
		AgentIdentifier: textOrNull(l.Slug), AgentName: textOrNull(l.Name), Success: l.Success, Refused: l.Refused, StatusCode: l.Status, LatencyMS: l.LatencyMS,
		ErrorCode: textOrNull(l.Code), ErrorMessage: textOrNull(l.Code.Text()), Status: logStatus(l),
		IntegrationID: textOrNull(l.Integration), ConversationID: textOrNull(l.Conversation), MessageID: textOrNull(l.Message),
		RequestPayload: l.Request, ResponsePayload: l.Response, Input: l.Request, Output: l.Response,
		RequestID: l.RequestID, CreatedAt: api.At(l.At), Timestamp: api.At(l.At),
	}
	if l.Actor.Type != "" {
		shown.Actor = &api.Actor{Type: l.Actor.Type, ID: l.Actor.ID}
	}
	if len(l.Request) == 0 {
		shown.Input = api.Object("{}")
	}
	return shown
}

func logStatus(l broker.Log) string {
	switch {
	case l.Success:
		return "success"
	case l.Status == http.StatusRequestTimeout, l.Status == http.StatusGatewayTimeout:
		return "timeout"
	}
	return "error"
}
