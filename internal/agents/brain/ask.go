package brain

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"github.com/IntunoAI/intuno-go/internal/agents/entity"
	"github.com/IntunoAI/intuno-go/internal/fault"
)

// How the router asks the network (contract §11.1).
const (
	discoverLimit = 5
	maxAttempts   = 3

	discoverTimeout = 10 * time.Second
	// invokeTimeout is a little more than the 25 s after which the broker answers.
	invokeTimeout = 27 * time.Second
	// leastAttempt is the time without which no further agent is asked: it would
	// work in vain.
	leastAttempt = 3 * time.Second
)

// declined is the failure of an agent that is there for something else.
const declined = "the agent takes no such input"

const help = "What I can do myself: \"remember city: Rome\", \"recall city\", \"recall\", \"forget city\" and \"time\"."

// ask lets the network answer: the best agent that fits, and if it fails the next. It
// leaves Reserve of the turn's time for the reply.
func (r *Router) ask(ctx context.Context, t Turn, out Sink, text string) (string, error) {
	if text == "" {
		return "I know no agent for that. " + help, nil
	}
	if !t.Entity.Allows(entity.ToolDiscover) {
		return "I am not allowed to look for agents: my tools do not include \"discover_agents\". " + help, nil
	}
	begin, end, cancel := r.budget(ctx)
	defer cancel()
	found, refusal, err := r.discover(ctx, end, t, out, text)
	switch {
	case err != nil:
		return "", err
	case refusal != nil:
		return fmt.Sprintf("I could not look for agents: %s. %s", refusalText(refusal), help), nil
	}
	fitting := r.fitting(t, found)
	switch {
	case len(fitting) == 0:
		return "I know no agent for that. " + help, nil
	case !t.Entity.Allows(entity.ToolInvoke):
		return fmt.Sprintf("%s could help with that, but I am not allowed to ask: my tools do not include \"invoke_agent\".", label(fitting[0])), nil
	}
	var failures []string
	for i, agent := range fitting[:min(len(fitting), maxAttempts)] {
		if i > 0 && begin.Err() != nil {
			failures = append(failures, fmt.Sprintf("there was no time left to ask %s", label(agent)))
			break
		}
		reply, failure, err := r.invoke(ctx, end, t, out, agent)
		if err != nil || failure == "" {
			return reply, err
		}
		if failure != declined {
			failures = append(failures, fmt.Sprintf("%s: %s", label(agent), failure))
		}
	}
	if len(failures) == 0 {
		return "I know no agent for that. " + help, nil
	}
	return "I found agents for that, but none of them answered. " + strings.Join(failures, "; ") + ".", nil
}

// budget is the time in which agents are asked: no attempt begins after the end of the
// first context, and all end with the second.
func (r *Router) budget(ctx context.Context) (begin, end context.Context, cancel func()) {
	deadline, limited := ctx.Deadline()
	if !limited {
		return ctx, ctx, func() {}
	}
	end, cancelEnd := context.WithDeadline(ctx, deadline.Add(-r.Reserve))
	begin, cancelBegin := context.WithDeadline(end, deadline.Add(-r.Reserve-leastAttempt))
	return begin, end, func() { cancelBegin(); cancelEnd() }
}

// discover is the tool discover_agents. ctx is that of the turn, end that of the attempts.
func (r *Router) discover(ctx, end context.Context, t Turn, out Sink, text string) (found []Agent, refusal *fault.Error, err error) {
	query := firstChars(text, MaxQuery)
	refusal, err = step(ctx, out, entity.ToolDiscover, map[string]any{"query": query, "limit": discoverLimit}, func() (string, error) {
		limited, cancel := context.WithTimeout(end, discoverTimeout)
		defer cancel()
		var err error
		found, err = r.Network.Discover(limited, t.acting(), query, discoverLimit)
		return summary(found), late(ctx, err)
	})
	return found, refusal, err
}

// late types the end of an attempt that the turn outlives.
func late(turn context.Context, err error) error {
	if err == nil || turn.Err() != nil || fault.As(err) != nil {
		return err
	}
	return fault.New(fault.Timeout, "turn_timeout", "no answer in time").Because(err)
}

func summary(found []Agent) string {
	if len(found) == 0 {
		return "no agents"
	}
	lines := make([]string, len(found))
	for i, a := range found {
		lines[i] = fmt.Sprintf("%s (%s)", label(a), a.ID)
		if a.Distance != nil {
			lines[i] += fmt.Sprintf(" %.3f", *a.Distance)
		}
	}
	return strings.Join(lines, "\n")
}

// fitting are the agents that may be asked, in the order in which they were found. An
// agent whose distance is not known is left out: what a user writes is not sent to just
// anybody. A stranger is not led to agents that only the owner can see.
func (r *Router) fitting(t Turn, found []Agent) []Agent {
	return slices.DeleteFunc(slices.Clone(found), func(a Agent) bool {
		return a.Hosted || a.Distance == nil || !(*a.Distance <= r.MaxDistance) || t.Stranger && !a.Public
	})
}

// invoke is the tool invoke_agent. failure is why there is no reply.
func (r *Router) invoke(ctx, end context.Context, t Turn, out Sink, a Agent) (reply, failure string, err error) {
	input, err := json.Marshal(map[string]string{inputKey(a.InputSchema): t.Content}, json.Deterministic(true))
	if err != nil {
		return "", "", fmt.Errorf("encode the input of an agent: %w", err)
	}
	refusal, err := step(ctx, out, entity.ToolInvoke, map[string]any{"agent_id": a.ID, "input": jsontext.Value(input)}, func() (string, error) {
		limited, cancel := context.WithTimeout(end, invokeTimeout)
		defer cancel()
		outcome, err := r.Network.Invoke(limited, t.acting(), a.ID, input)
		if err != nil {
			return "", late(ctx, err)
		}
		if outcome.Declined {
			return "", fault.New(fault.Upstream, "brain_error", declined)
		}
		if !outcome.OK {
			return "", fault.New(fault.Upstream, "brain_error", "%s", outcome.Failed)
		}
		reply = answerText(outcome.Data)
		return reply, nil
	})
	if refusal != nil {
		failure = cmp.Or(strings.TrimRight(refusalText(refusal), "."), "no answer")
	}
	return reply, failure, err
}

// inputKeys are the members under which agents take a message, the most usual first.
var inputKeys = []string{"message", "query", "text", "content", "prompt", "input"}

// inputKey is the member under which an agent with this schema takes a message: the
// first of inputKeys that the schema has, else its only required string, else "message".
func inputKey(schema []byte) string {
	var s struct {
		Properties map[string]jsontext.Value `json:"properties"`
		Required   []string                  `json:"required"`
	}
	if json.Unmarshal(schema, &s) != nil {
		return inputKeys[0]
	}
	for _, key := range inputKeys {
		if _, has := s.Properties[key]; has {
			return key
		}
	}
	var texts []string
	for _, key := range s.Required {
		if !slices.Contains(texts, key) && isString(s.Properties[key]) {
			texts = append(texts, key)
		}
	}
	if len(texts) == 1 {
		return texts[0]
	}
	return inputKeys[0]
}

// isString reports whether a schema is that of a string, perhaps among other types.
func isString(schema jsontext.Value) bool {
	var one struct {
		Type string `json:"type"`
	}
	var many struct {
		Type []string `json:"type"`
	}
	return json.Unmarshal(schema, &one) == nil && one.Type == "string" ||
		json.Unmarshal(schema, &many) == nil && slices.Contains(many.Type, "string")
}

// replyKeys are the members under which agents answer, the most usual first.
var replyKeys = []string{"reply", "response", "message", "text", "content", "answer", "output", "result"}

// answerText is what an agent said: the first of replyKeys that is a string and not
// blank, else the JSON text.
func answerText(data []byte) string {
	var members map[string]jsontext.Value
	if json.Unmarshal(data, &members) == nil {
		for _, key := range replyKeys {
			var text string
			if v := members[key]; v.Kind() == '"' && json.Unmarshal(v, &text) == nil && strings.TrimSpace(text) != "" {
				return text
			}
		}
	}
	if len(data) == 0 {
		return "{}"
	}
	return string(data)
}

const maxLabel = 100 // characters

// label is the name of an agent on one line.
func label(a Agent) string {
	name := strings.Join(strings.Fields(a.Name), " ")
	if name == "" {
		name = a.ID
	}
	return firstChars(name, maxLabel)
}

// firstChars is the beginning of text, at most n characters.
func firstChars(text string, n int) string {
	if len(text) <= n {
		return text
	}
	for i := range text {
		if n == 0 {
			return text[:i]
		}
		n--
	}
	return text
}
