package a2a

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	jsonv2 "github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"github.com/IntunoAI/intuno-go/internal/id"
	"github.com/IntunoAI/intuno-go/internal/principal"
)

// Networks is where tasks are sent to.
type Networks interface {
	// Say says something in a network of p's user, by the channel that it names. Its faults
	// are those of contract §6.3, and for calls those of §6.5.
	Say(ctx context.Context, p principal.Principal, s Saying) (Said, error)
}

// Saying is what a task says. Channel is one of channels.
type Saying struct {
	Network           id.Network
	Sender, Recipient id.Participant
	Channel           string
	Content           string
	Metadata          []byte // a JSON object
}

// Said is what came of it.
type Said struct {
	Message  id.NetworkMessage
	Status   string    // of the message: pending, delivered, read or failed
	At       time.Time // when it got that status
	Response []byte    // of a call: JSON
}

// channels of networks, in the words of contract §6.1.
const callChannel = "call"

var channels = []string{callChannel, "message", "mailbox"}

// Bounds of a message in a network (contract §1.2).
const (
	maxContent  = 65536    // characters
	maxMetadata = 32 << 10 // bytes of JSON
)

// SendTask sends a task of params to a participant of a network, as contract §8.6 has it.
// Params that do not fit are 400 faults with the code of JSON-RPC for it; the others are
// those of Networks.
func (s *Service) SendTask(ctx context.Context, p principal.Principal, params []byte) (Answer, error) {
	saying, err := sayingOf(params)
	if err != nil {
		return Answer{}, err
	}
	said, err := s.c.Networks.Say(ctx, p, saying)
	if err != nil {
		return Answer{}, fmt.Errorf("send a task: %w", err)
	}
	text, err := jsonv2.Marshal(taskResult(saying, said))
	if err != nil {
		return Answer{}, fmt.Errorf("write an A2A task: %w", err)
	}
	return Answer{Result: text}, nil
}

// task is what is read of an A2A task.
type task struct {
	ID     *string `json:"id"`
	Status struct {
		State *string `json:"state"`
	} `json:"status"`
	History  []jsontext.Value          `json:"history"`
	Metadata map[string]jsontext.Value `json:"metadata"`
}

// sayingOf reads params.
func sayingOf(params []byte) (Saying, error) {
	if !isObject(params) {
		return Saying{}, badParams("params must be a JSON object")
	}
	var in map[string]jsontext.Value
	if err := jsonv2.Unmarshal(params, &in); err != nil {
		return Saying{}, badParams("params must be a JSON object").Because(err)
	}
	var s Saying
	var ok [3]bool
	s.Network, ok[0] = idOf[id.Network](in["network_id"])
	s.Sender, ok[1] = idOf[id.Participant](in["sender_participant_id"])
	s.Recipient, ok[2] = idOf[id.Participant](in["recipient_participant_id"])
	for i, name := range []string{"network_id", "sender_participant_id", "recipient_participant_id"} {
		if !ok[i] {
			return Saying{}, badParams("%s must be a UUID", name)
		}
	}
	if !isObject(in["task"]) {
		return Saying{}, badParams("task must be a JSON object")
	}
	var t task
	err := jsonv2.Unmarshal(in["task"], &t)
	if err == nil {
		s.Content, err = t.content()
	}
	if err != nil {
		return Saying{}, badParams("task must have its id, status, history and metadata as the A2A protocol describes them").Because(err)
	}
	if utf8.RuneCountInString(s.Content) > maxContent {
		return Saying{}, badParams("the text of the task has more than %d characters", maxContent)
	}
	if strings.ContainsRune(s.Content, 0) {
		return Saying{}, badParams("the text of the task must not contain the character U+0000")
	}
	if s.Channel, err = t.channel(); err != nil {
		return Saying{}, badParams("intuno_channel in the metadata of the task must be one of %s", strings.Join(channels, ", ")).Because(err)
	}
	if s.Metadata, err = t.metadata(); err != nil {
		return Saying{}, fmt.Errorf("write the metadata of a message: %w", err)
	}
	if len(s.Metadata) > maxMetadata {
		return Saying{}, badParams("the metadata of the task is larger than %d bytes of JSON", maxMetadata)
	}
	return s, nil
}

// idOf reads an id in its canonical form (contract §1.2).
func idOf[T ~string](v jsontext.Value) (T, bool) {
	var text string
	if jsonv2.Unmarshal(v, &text) != nil {
		return "", false
	}
	return id.Parse[T](text)
}

// content is the text parts of the last entry of the history, joined by newlines. A part
// says that it is text by its kind (A2A 0.3), its type (older ones) or not at all (1.0).
// The others are left out.
func (t *task) content() (string, error) {
	if len(t.History) == 0 {
		return "", nil
	}
	var last *struct {
		Parts []*struct {
			Kind string         `json:"kind"`
			Type string         `json:"type"`
			Text jsontext.Value `json:"text"`
		} `json:"parts"`
	}
	if err := jsonv2.Unmarshal(t.History[len(t.History)-1], &last); err != nil {
		return "", err
	}
	if last == nil {
		return "", errors.New("the last entry of the history is null")
	}
	var texts []string
	for i, p := range last.Parts {
		if p == nil {
			return "", fmt.Errorf("part %d is null", i)
		}
		kind := cmp.Or(p.Kind, p.Type)
		if kind != "text" && (kind != "" || p.Text == nil) {
			continue
		}
		var text *string
		if err := jsonv2.Unmarshal(p.Text, &text); err != nil || text == nil {
			return "", fmt.Errorf("the text of part %d is no string", i)
		}
		texts = append(texts, *text)
	}
	return strings.Join(texts, "\n"), nil
}

// channel is the one that the metadata names, or message.
func (t *task) channel() (string, error) {
	named := t.Metadata["intuno_channel"]
	if named == nil || named.Kind() == 'n' {
		return "message", nil
	}
	var channel string
	if err := jsonv2.Unmarshal(named, &channel); err != nil {
		return "", err
	}
	if !slices.Contains(channels, channel) {
		return "", errors.New("no such channel")
	}
	return channel, nil
}

// metadata is that of the message: which task it is of, its state, and the metadata of the
// task without what is meant for us or for A2A, as it was written.
func (t *task) metadata() ([]byte, error) {
	kept := map[string]any{}
	for name, value := range t.Metadata {
		if !strings.HasPrefix(name, "intuno_") && !strings.HasPrefix(name, "a2a_") {
			kept[name] = value
		}
	}
	kept["a2a_task_id"], kept["a2a_state"] = t.ID, t.Status.State
	return jsonv2.Marshal(kept, jsonv2.Deterministic(true))
}

// states of a task, by the status of its message.
var states = map[string]string{"pending": "submitted", "delivered": "working", "read": "completed", "failed": "failed"}

type (
	answered struct {
		ID        id.NetworkMessage `json:"id"`
		Status    status            `json:"status"`
		Artifacts []turn            `json:"artifacts"`
	}
	accepted struct {
		ID       id.NetworkMessage `json:"id"`
		Status   status            `json:"status"`
		History  []turn            `json:"history"`
		Metadata taskMetadata      `json:"metadata"`
	}
	status struct {
		State     string `json:"state"`
		Timestamp string `json:"timestamp,omitempty"`
	}
	turn struct {
		Role  string     `json:"role,omitempty"`
		Parts []textPart `json:"parts"`
	}
	textPart struct {
		Type string `json:"type"`
		Text string `json:"text"`
	}
	taskMetadata struct {
		Network   id.Network     `json:"intuno_network_id"`
		Channel   string         `json:"intuno_channel"`
		Sender    id.Participant `json:"sender"`
		Recipient id.Participant `json:"recipient"`
	}
)

// taskResult is the result of tasks/send.
func taskResult(s Saying, said Said) any {
	if s.Channel == callChannel {
		return answered{ID: said.Message, Status: status{State: "completed"}, Artifacts: []turn{{Parts: textOf(spoken(said.Response))}}}
	}
	return accepted{
		ID: said.Message, Status: status{State: states[said.Status], Timestamp: said.At.UTC().Format("2006-01-02T15:04:05.000000Z")}, // contract §1.2
		History:  []turn{{Role: "user", Parts: textOf(s.Content)}},
		Metadata: taskMetadata{s.Network, s.Channel, s.Sender, s.Recipient},
	}
}

func textOf(text string) []textPart { return []textPart{{"text", text}} }

// spoken is an answer in words: a string, or the one member of an object if that is a
// string; nothing for null; else JSON.
func spoken(response []byte) string {
	value := jsontext.Value(response)
	var members map[string]jsontext.Value
	if isObject(value) && jsonv2.Unmarshal(value, &members) == nil && len(members) == 1 {
		for _, only := range members {
			if only.Kind() == '"' {
				value = only
			}
		}
	}
	var text string
	switch {
	case len(value) == 0 || value.Kind() == 'n':
		return ""
	case jsonv2.Unmarshal(value, &text) == nil:
		return text
	}
	return strings.ToValidUTF8(string(value), "\uFFFD")
}
