package network

import (
	"strconv"
	"strings"
	"time"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/IntunoAI/intuno-go/internal/id"
)

// What a delivery tells of the conversation before it (contract §6.6).
const (
	callContext = 30 // entries, the message itself included
	pushContext = 20
	maxContext  = 256 << 10 // bytes; older entries are left out, the message itself never is
)

// timeLayout is how times are shown (contract §1.2).
const timeLayout = "2006-01-02T15:04:05.000000Z"

// payload is what a delivery is made of.
type payload struct {
	Message
	state    State
	context  [][]byte // entries, in order, the last one is the message
	replyURL string
}

// encode writes the body of contract §6.6. The endpoint of a registered agent wants the
// content once more, as message.
func (p *payload) encode(again bool) []byte {
	size := 1024 + 2*len(p.Content) + len(p.Metadata) + 128*len(p.state.Participants)
	for _, entry := range p.context {
		size += len(entry) + 1
	}
	b := make([]byte, 0, size)
	b = member(b, `{"network_id":`, string(p.Network))
	b = member(b, `,"message_id":`, string(p.ID))
	b = member(b, `,"channel":`, p.Channel)
	b = append(b, `,"sender":`...)
	b = appendParticipant(b, p.Sender, p.state.name(p.Sender))
	b = member(b, `,"content":`, p.Content)
	if again {
		b = member(b, `,"message":`, p.Content)
	}
	b = append(b, `,"context":[`...)
	for i, entry := range p.context {
		if i > 0 {
			b = append(b, ',')
		}
		b = append(b, entry...)
	}
	b = member(b, `],"reply_url":`, p.replyURL)
	b = append(b, `,"network_participants":[`...)
	first := true
	for i := range p.state.Participants {
		who := &p.state.Participants[i]
		if who.Status != Active && who.ID != p.Sender && who.ID != p.Recipient {
			continue
		}
		if !first {
			b = append(b, ',')
		}
		first = false
		b = appendParticipant(b, who.ID, who.Name)
	}
	b = member(b, `],"channel_type":`, p.Channel)
	b = member(b, `,"sender_participant_id":`, string(p.Sender))
	b = member(b, `,"recipient_participant_id":`, string(p.Recipient))
	b = append(b, `,"metadata":`...)
	if p.Metadata == nil {
		b = append(b, "null"...)
	} else {
		b = append(b, p.Metadata...)
	}
	b = append(b, `,"in_reply_to_id":`...)
	b = appendOrNull(b, string(p.InReplyTo))
	b = append(b, `,"created_at":"`...)
	b = p.Created.UTC().AppendFormat(b, timeLayout)
	return append(b, `"}`...)
}

// name is that of a participant who has not been removed; "" of others.
func (s *State) name(p id.Participant) string {
	for i := range s.Participants {
		if s.Participants[i].ID == p {
			return s.Participants[i].Name
		}
	}
	return ""
}

func appendParticipant(b []byte, p id.Participant, name string) []byte {
	b = member(b, `{"participant_id":`, string(p))
	b = member(b, `,"name":`, name)
	return append(b, '}')
}

// member appends what stands before a value, and the value as a JSON string.
func member(b []byte, before, value string) []byte {
	return appendString(append(b, before...), value)
}

func appendString(b []byte, s string) []byte {
	quoted, err := jsontext.AppendQuote(b, s)
	if err != nil { // it is not UTF-8: whatever was stored must not stop its lane
		quoted, _ = jsontext.AppendQuote(b, strings.ToValidUTF8(s, "\uFFFD"))
	}
	return quoted
}

func appendOrNull(b []byte, s string) []byte {
	if s == "" {
		return append(b, "null"...)
	}
	return appendString(b, s)
}

// encodeEntry writes an entry of a context (contract §6.3).
func encodeEntry(e *Entry) []byte {
	b := make([]byte, 0, 192+len(e.Content)+len(e.Content)/8+len(e.SenderName)+len(e.RecipientName))
	b = member(b, `{"sender":`, e.SenderName)
	b = append(b, `,"recipient":`...)
	b = appendOrNull(b, e.RecipientName)
	b = member(b, `,"channel":`, e.Channel)
	b = member(b, `,"content":`, e.Content)
	b = member(b, `,"message_id":`, string(e.ID))
	b = append(b, `,"timestamp":`...)
	b = appendSeconds(b, e.Created)
	return append(b, '}')
}

// appendSeconds writes a time as Unix seconds with six decimals: a number of JSON, and
// exactly the microsecond.
func appendSeconds(b []byte, t time.Time) []byte {
	us := t.UnixMicro()
	if us < 0 {
		b, us = append(b, '-'), -us
	}
	b = strconv.AppendInt(b, us/1e6, 10)
	fraction := strconv.AppendInt(nil, us%1e6+1e6, 10) // the 1 in front keeps the zeros
	fraction[0] = '.'
	return append(b, fraction...)
}

// fit leaves out the oldest entries until the rest is at most maxContext bytes, but never
// the last one.
func fit(entries [][]byte) [][]byte {
	size := 0
	for i := len(entries) - 1; i >= 0; i-- {
		size += len(entries[i])
		if size > maxContext && i < len(entries)-1 {
			return entries[i+1:]
		}
	}
	return entries
}
