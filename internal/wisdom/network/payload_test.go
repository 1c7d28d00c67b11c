package network

import (
	"encoding/json"
	"flag"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/IntunoAI/intuno-go/api"
	"github.com/IntunoAI/intuno-go/internal/id"
)

var update = flag.Bool("update", false, "write the golden files")

// golden compares with a file of testdata.
func golden(t *testing.T, name string, got []byte) {
	t.Helper()
	path := "testdata/" + name
	if *update {
		if err := os.WriteFile(path, append(got, '\n'), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if strings.TrimSuffix(string(want), "\n") != string(got) {
		t.Errorf("%s: got\n%s\nwant\n%s", name, got, want)
	}
}

var said = time.Date(2026, 4, 23, 12, 0, 0, 123456000, time.UTC)

// example is the delivery of contract §6.6.
func example() payload {
	m := Message{ID: "33b1", Network: "4d2f", Seq: 1, Sender: "21aa", Recipient: "22a0", Channel: Push, Content: "Hello", Created: said}
	return payload{Message: m, replyURL: "https://api.example.org/networks/4d2f/participants/22a0/callback?sig=00&exp=1",
		context: [][]byte{encodeEntry(&Entry{Message: m, SenderName: "ada", RecipientName: "weather"})},
		state:   State{Participants: []Participant{{ID: "21aa", Name: "ada", Status: Active}, {ID: "22a0", Name: "weather", Status: Active}}}}
}

func TestThePayloadIsThatOfTheContract(t *testing.T) {
	p := example()
	golden(t, "payload.json", p.encode(false))
	golden(t, "payload_endpoint.json", p.encode(true))
	p.Metadata, p.InReplyTo, p.Channel = []byte(`{"a":[1.10,"x"]}`), "32b0", Call
	p.Content = "quote \" backslash \\ line\n <b> \u2028 \x01 é 😀 broken \xff"
	p.context = append([][]byte{encodeEntry(&Entry{Message: Message{ID: "0", Channel: Mailbox, Created: time.Unix(0, 0)}, SenderName: "x"})}, p.context...)
	p.state.Participants = append(p.state.Participants, Participant{ID: "gone", Name: "gone", Status: Disconnected})
	golden(t, "payload_full.json", p.encode(true))
}

// What we write is what package api says it is, with nothing beside it.
func TestThePayloadIsReadAsWhatItSays(t *testing.T) {
	p := example()
	d := json.NewDecoder(strings.NewReader(string(p.encode(true))))
	d.DisallowUnknownFields()
	var got api.DeliveryPayload
	if err := d.Decode(&got); err != nil {
		t.Fatal(err)
	}
	if got.Message == nil || *got.Message != "Hello" || !time.Time(got.Context[0].Timestamp).Equal(said) || got.InReplyToID != nil || got.Metadata != nil ||
		!time.Time(got.CreatedAt).Equal(said) || len(got.NetworkParticipants) != 2 || got.Sender.Name != "ada" {
		t.Errorf("got %+v", got)
	}
}

func TestEverybodyWhoTakesPartIsNamedAndBothEnds(t *testing.T) {
	for _, test := range []struct {
		status [3]string
		want   string
	}{
		{[3]string{Active, Active, Active}, "abc"},
		{[3]string{Active, Active, Disconnected}, "ab"},
		{[3]string{Disconnected, Disconnected, Active}, "abc"},
	} {
		p := payload{Message: Message{Sender: "a", Recipient: "b"}}
		for i, name := range []id.Participant{"a", "b", "c"} {
			p.state.Participants = append(p.state.Participants, Participant{ID: name, Name: string(name), Status: test.status[i]})
		}
		var got api.DeliveryPayload
		if err := json.Unmarshal([]byte(strings.Replace(string(p.encode(false)), `"created_at":"0001-01-01T00:00:00.000000Z"`, `"created_at":"2026-01-01T00:00:00Z"`, 1)), &got); err != nil {
			t.Fatal(err)
		}
		names := ""
		for _, who := range got.NetworkParticipants {
			names += who.Name
		}
		if names != test.want {
			t.Errorf("%v: got %s, want %s", test.status, names, test.want)
		}
	}
}

func TestOlderEntriesAreLeftOutBeyondTheBound(t *testing.T) {
	entry := func(size int) []byte { return make([]byte, size) }
	for _, test := range []struct {
		name  string
		sizes []int
		want  int
	}{
		{"nothing", nil, 0},
		{"little", []int{1, 2, 3}, 3},
		{"exactly the bound", []int{1, maxContext - 1}, 2},
		{"one byte more", []int{2, maxContext - 1}, 1},
		{"the first ones of many", []int{1, 100 << 10, 100 << 10, 100 << 10}, 2},
		{"the message itself stays, however long", []int{1, maxContext + 1}, 1},
	} {
		var entries [][]byte
		for _, size := range test.sizes {
			entries = append(entries, entry(size))
		}
		got := fit(entries)
		if len(got) != test.want || len(got) > 0 && len(got[len(got)-1]) != test.sizes[len(test.sizes)-1] {
			t.Errorf("%s: %d entries are left, want the last %d", test.name, len(got), test.want)
		}
	}
}

func TestTimestampsAreExact(t *testing.T) {
	for _, test := range []struct {
		us   int64
		want string
	}{
		{1776945600123456, "1776945600.123456"}, {1776945600000000, "1776945600.000000"}, {1776945600000001, "1776945600.000001"},
		{0, "0.000000"}, {-1, "-0.000001"},
	} {
		if got := string(appendSeconds(nil, time.UnixMicro(test.us))); got != test.want {
			t.Errorf("%d µs: got %s, want %s", test.us, got, test.want)
		}
	}
}

func BenchmarkPayload(b *testing.B) {
	p := example()
	for len(p.context) < pushContext {
		p.context = append(p.context, p.context[0])
	}
	for len(p.state.Participants) < 50 {
		p.state.Participants = append(p.state.Participants, p.state.Participants[0])
	}
	b.ReportAllocs()
	for b.Loop() {
		p.encode(false)
	}
}
