// Package demo is four small agents that answer at once and need nothing: a calculator,
// a converter of units, a counter of words, and one that knows dates and time zones.
// They give a fresh installation something to discover and to invoke.
//
// Handler answers invocations as any agent on the network does: a JSON object in, one
// out, with a sentence under "reply". A request that an agent does not understand is a
// 422, so that whoever asked can try the next agent.
//
// Not here: listening (svc), registering the agents (wisdom), and anything that needs
// another machine. No answer is rounded without saying so.
package demo

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/IntunoAI/intuno-go/internal/clock"
)

// Agent is one agent as it is registered.
type Agent struct {
	Name        string
	Description string
	Path        string // of its endpoint, on the server of Handler
	Tags        []string
	Category    string
	Schema      string // a JSON object: the schema of its input
}

// Agents are all of them.
func Agents() []Agent {
	return []Agent{
		{
			Name: "Calculator", Path: "/calculator", Category: "math", Tags: []string{"calculator", "math", "percent", "arithmetic"},
			Description: calculatorDescription,
			Schema: `{"type":"object","properties":{"message":{"type":"string","description":"A calculation in words or signs"},` +
				`"expression":{"type":"string","description":"Instead of message: a calculation such as (3 + 4) * 2^10"}}}`,
		},
		{
			Name: "Unit Converter", Path: "/units", Category: "math", Tags: []string{"units", "convert", "measurement"},
			Description: unitsDescription,
			Schema: `{"type":"object","properties":{"message":{"type":"string","description":"What to convert, in words"},` +
				`"value":{"type":"number","description":"Instead of message: how much"},"from":{"type":"string","description":"of which unit"},"to":{"type":"string","description":"into which"}}}`,
		},
		{
			Name: "Text Statistics", Path: "/text", Category: "text", Tags: []string{"text", "words", "count"},
			Description: textDescription,
			Schema: `{"type":"object","properties":{"message":{"type":"string","description":"What to count, then a colon or quotes, then the text"},` +
				`"text":{"type":"string","description":"Instead of message: a text of which everything is counted"}}}`,
		},
		{
			Name: "World Clock and Calendar", Path: "/dates", Category: "time", Tags: []string{"time", "date", "timezone", "calendar"},
			Description: datesDescription,
			Schema: `{"type":"object","properties":{"message":{"type":"string","description":"A question about dates or the time somewhere"},` +
				`"timezone":{"type":"string","description":"Instead of message: a city or a zone such as Asia/Tokyo, for the time there"}}}`,
		},
	}
}

// The descriptions are what discovery finds the agents by.
const (
	calculatorDescription = "Calculates: does arithmetic and math. Add, subtract, multiply, divide, plus, minus, squared, powers, parentheses: how much is 7 times 8, 144 divided by 12. " +
		"Percentages: what is 17.5 % of 240, add 19% tax, 12.5% off a price, discount, tip, what percent is one number of another. Exact sums and results."
	unitsDescription = "Converts units of measurement: length, distance, weight, mass, volume, temperature, area, speed, data size, duration. " +
		"Miles to kilometers km, feet and inches to centimeters, square feet to square meters, pounds to kilograms, how many grams in an ounce, liters in a gallon, Fahrenheit to Celsius, acres, mph, megabytes, hours to minutes."
	textDescription = "Counts words, characters, letters, lines, sentences and paragraphs in a text. " +
		"Word count and length of a text, its longest word, its reading time, text statistics."
	datesDescription = "Tells the current time in a city or time zone of the world, what time it is in Tokyo, London or New York, and the date today. " +
		"Calendar: days between two dates such as 2026-01-01 and 2026-03-01, days until a date, what weekday or day of the week 2026-12-24 is, " +
		"add 90 days to 2026-01-15, which week number of the year, is 2028 a leap year."
)

const (
	maxInput    = 1 << 20 // bytes of a request
	maxQuestion = 2000    // characters, but for texts to be counted
	bodyTime    = 10 * time.Second
)

// answer is what an agent says: a sentence and, by name, what it is made of.
type answer struct {
	reply string
	facts map[string]any
}

// confusion is why a request has no answer, in words for the one who asked.
type confusion string

func (c confusion) Error() string { return string(c) }

func confused(format string, args ...any) error { return confusion(fmt.Sprintf(format, args...)) }

// Handler answers the paths of Agents. now tells the date.
func Handler(now clock.Now) http.Handler {
	mux := http.NewServeMux()
	for path, agent := range map[string]func(input) (answer, error){
		"/calculator": calculate,
		"/units":      convert,
		"/text":       count,
		"/dates":      func(in input) (answer, error) { return almanac(in, now()) },
	} {
		mux.HandleFunc("POST "+path, func(w http.ResponseWriter, r *http.Request) { serve(w, r, now, agent) })
	}
	return mux
}

func serve(w http.ResponseWriter, r *http.Request, now clock.Now, agent func(input) (answer, error)) {
	_ = http.NewResponseController(w).SetReadDeadline(now().Add(bodyTime)) // a recorder of a test has none
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxInput))
	var tooLarge *http.MaxBytesError
	switch {
	case errors.As(err, &tooLarge):
		say(w, http.StatusRequestEntityTooLarge, map[string]any{"error": "the request is larger than 1 MiB"})
		return
	case err != nil:
		say(w, http.StatusBadRequest, map[string]any{"error": "the request did not arrive"})
		return
	}
	var in input
	if err := json.Unmarshal(body, &in.members); err != nil || in.members == nil {
		say(w, http.StatusBadRequest, map[string]any{"error": "the request must be a JSON object"})
		return
	}
	a, err := agent(in)
	if err != nil {
		say(w, http.StatusUnprocessableEntity, map[string]any{"error": err.Error()})
		return
	}
	said := map[string]any{"reply": a.reply}
	for name, fact := range a.facts {
		said[name] = fact
	}
	say(w, http.StatusOK, said)
}

func say(w http.ResponseWriter, status int, body map[string]any) {
	text, err := json.Marshal(body)
	if err != nil {
		status, text = http.StatusInternalServerError, []byte(`{"error": "internal error"}`)
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_, _ = w.Write(append(text, '\n')) // a reader that has gone needs no answer
}

// input is the object that an agent is invoked with.
type input struct{ members map[string]json.RawMessage }

// whole is the string under name, or "".
func (in input) whole(name string) string {
	var s string
	if json.Unmarshal(in.members[name], &s) != nil {
		return ""
	}
	return s
}

// text is whole without white space around it.
func (in input) text(name string) string { return strings.TrimSpace(in.whole(name)) }

// number is the text of the number under name, as it was written, or of a string; "" if
// it is neither.
func (in input) number(name string) string {
	var n json.Number
	if json.Unmarshal(in.members[name], &n) != nil {
		return ""
	}
	return n.String()
}

// question is the message, under any of its usual names.
func (in input) question(more ...string) (string, error) {
	for _, name := range append(more, "message", "query", "text", "content", "prompt", "input") {
		s := in.text(name)
		if s == "" {
			continue
		}
		if utf8.RuneCountInString(s) > maxQuestion {
			return "", confused("that is longer than %d characters", maxQuestion)
		}
		return s, nil
	}
	return "", confused("ask something: put it under \"message\"")
}

// plain replaces the usual typographic signs, and every run of white space by one space.
func plain(s string) string {
	s = strings.NewReplacer("’", "'", "‘", "'", "“", `"`, "”", `"`, "−", "-", "–", "-", "×", "*", "·", "*", "÷", "/", "²", "^2", "³", "^3",
		"\u00a0", " ", "\u202f", " ", "½", " 0.5", "¼", " 0.25", "¾", " 0.75").Replace(s)
	return strings.Join(strings.Fields(strings.ToLower(s)), " ")
}

// opening are the words that questions begin with and that say nothing.
var opening = []string{"please ", "hey ", "hi ", "hello ", "hey, ", "hi, ", "hello, ", "ok ", "so ", "and ", "now ", "could you ", "can you ", "would you ", "will you ", "tell me ", "give me ", "show me ",
	"i want to know ", "i need to know ", "do you know ", "what's ", "whats ", "what is ", "what are ", "what would be ", "how much is ", "how much are ", "how much would be ",
	"how many is ", "calculate ", "compute ", "evaluate ", "work out ", "figure out ", "solve ", "find ", "determine ", "the result of ", "the value of ",
	"the answer to ", "the answer of ", "result of ", "value of ", "the ", ", ", ": "}

var closing = []string{"?", "!", ".", "=", ",", " please", " equal", " equals", " equal to", " thanks", " thank you", " for me", " exactly", " is", " make"}

// bare is s without what is said around a question.
func bare(s string) string {
	for before := ""; before != s; {
		before = s
		for _, words := range opening {
			s = strings.TrimPrefix(s, words)
		}
		for _, words := range closing {
			s = strings.TrimSuffix(s, words)
		}
		s = strings.TrimSpace(s)
	}
	return s
}
