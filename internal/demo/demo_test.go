package demo_test

import (
	"encoding/json"
	"io"
	"math/big"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/IntunoAI/intuno-go/internal/demo"
)

func now() time.Time { return time.Date(2026, time.January, 15, 23, 30, 0, 0, time.UTC) }

// post sends a body to an agent.
func post(t testing.TB, path, body string) (int, map[string]any) {
	t.Helper()
	rec := httptest.NewRecorder()
	demo.Handler(now).ServeHTTP(rec, httptest.NewRequest(http.MethodPost, path, strings.NewReader(body)))
	var said map[string]any
	if err := json.Unmarshal(rec.Body.Bytes(), &said); err != nil {
		t.Fatalf("%s: %q: %v", path, rec.Body, err)
	}
	return rec.Code, said
}

// ask sends a message; the answer is the reply, or "" if the agent does not understand.
func ask(t testing.TB, path, message string) (string, map[string]any) {
	t.Helper()
	body, _ := json.Marshal(map[string]string{"message": message})
	status, said := post(t, path, string(body))
	switch status {
	case 200:
		return said["reply"].(string), said
	case 422:
		if text, _ := said["error"].(string); text == "" {
			t.Errorf("%q: refused without a text: %v", message, said)
		}
		return "", said
	}
	t.Fatalf("%q: status %d %v", message, status, said)
	return "", nil
}

func TestTheCalculatorIsExact(t *testing.T) {
	for question, want := range map[string]string{
		"what is 17.5 % of 240?":              "42",
		"what is 17.5% of 240":                "42",
		"240 * 17.5%":                         "42",
		"17.5 percent of 240":                 "42",
		"add 19% to 80":                       "95.2",
		"80 + 19%":                            "95.2",
		"80 - 12.5%":                          "70",
		"12.5% off 80":                        "70",
		"what is 12.5% off $80?":              "70",
		"increase 50 by 10%":                  "55",
		"reduce 50 by 10 percent":             "45",
		"what percent of 80 is 20?":           "25",
		"20 is what percent of 80?":           "25",
		"what is 20 as a percentage of 80?":   "25",
		"15% tip on 60":                       "9",
		"5% + 3%":                             "0.08",
		"What is 2 plus 2?":                   "4",
		"how much is 7 times 8":               "56",
		"Please calculate 144 divided by 12.": "12",
		"seven times eight":                   "56",
		"3 + 4 * 2":                           "11",
		"(3 + 4) * 2":                         "14",
		"10 - 4 - 3":                          "3",
		"100 / 10 / 2":                        "5",
		"2^10":                                "1024",
		"2 ^ 3 ^ 2":                           "512",
		"-2^2":                                "-4",
		"2^-2":                                "0.25",
		"2 to the power of 8":                 "256",
		"5 squared":                           "25",
		"2³":                                  "8",
		"0.1 + 0.2":                           "0.3",
		"1/3 + 1/6":                           "0.5",
		"1,234,567.89 * 100":                  "123456789",
		"999999999999999999999 + 1":           "1000000000000000000000",
		"−5 × −3":                             "15",
		"7 ÷ 2":                               "3.5",
		"half of 10":                          "5",
		"add 3 and 4":                         "7",
		"subtract 3 from 10":                  "7",
		"multiply 6 by 7":                     "42",
		"divide 10 by 4":                      "2.5",
		"the sum of 3 and 4":                  "7",
		"what's the difference between 10 and 4?":      "6",
		"hi, could you please tell me what is 1 + 1 ?": "2",
		"twenty-one plus three":                        "24",
		"forty two times two":                          "84",
		"multiply 2 + 3 by 4":                          "20",
		"multiply 3 by (4 + 5)":                        "27",
		"multiply 3 by 4 plus 5":                       "", // 17 or 27
		"divide 12 by 2 + 4":                           "",
		"5 + 10% off 80":                               "",
		"sum of 5 and 6 times 2":                       "",
		"subtract 5 from 10% of 200":                   "15",
		"divide 8 into 56":                             "",
		"split 100 into 4":                             "25",
		"add 19% tax to 100":                           "119",
		"what percent is 20 of 80":                     "25",
		"what percentage is 20 out of 80?":             "25",
		"1/2 of 10":                                    "5",
		"100% of 7":                                    "7",
		"2 of 3":                                       "",
		"one of ten":                                   "",
		"15 tip on 60":                                 "", // percent or money
		"$5 + €3":                                      "",
		"£10 - 3 dollars":                              "",
		"0x10 + 1":                                     "",
		"2026-12-24":                                   "",
		"million":                                      "",
		"1/3":                                          "0.333333333333333",
		"2/3":                                          "0.666666666666667",
		"10000000/3":                                   "3333333.33333333",
		"1/3 * 3":                                      "1",
		"0":                                            "",
		"":                                             "",
		"1 / 0":                                        "",
		"5 / (3 - 3)":                                  "",
		"0^-1":                                         "",
		"2 +":                                          "",
		"(2 + 3":                                       "",
		"2 3":                                          "",
		"2^0.5":                                        "",
		"9^9^9^9":                                      "",
		"2^1001":                                       "",
		"1e999999999":                                  "",
		"9.9.9 + 1":                                    "",
		"1,23 + 1":                                     "",
		"5%% of 3":                                     "",
		"who are you?":                                 "",
		"2 apples + 3 pears":                           "",
		strings.Repeat("(", 60) + "1" + strings.Repeat(")", 60): "",
		strings.Repeat("9", 201) + " + 1":                       "",
	} {
		reply, said := ask(t, "/calculator", question)
		if want == "" {
			if reply != "" && question != "" {
				t.Errorf("%q: %q, want no answer", question, reply)
			}
			continue
		}
		if said["result"] != want || !strings.Contains(reply, want) {
			t.Errorf("%q: %v (%q), want %s", question, said["result"], reply, want)
		}
		if exact := !strings.Contains(reply, "rounded"); said["exact"] != exact {
			t.Errorf("%q: exact %v in %q", question, said["exact"], reply)
		}
	}
	if _, said := ask(t, "/calculator", "1/0"); !strings.Contains(said["error"].(string), "divided by zero") {
		t.Errorf("division by zero: %v", said)
	}
	if _, said := post(t, "/calculator", `{"expression":"6*7"}`); said["result"] != "42" {
		t.Errorf("an expression: %v", said)
	}
}

// Two operands of 18 digits: no sum, difference or product is ever rounded.
func TestTheCalculatorAgreesWithBigArithmetic(t *testing.T) {
	a, _ := new(big.Rat).SetString("123456789012345678.123456789")
	b, _ := new(big.Rat).SetString("-987654321.000000001")
	for sign, want := range map[string]*big.Rat{"+": new(big.Rat).Add(a, b), "-": new(big.Rat).Sub(a, b), "*": new(big.Rat).Mul(a, b)} {
		_, said := ask(t, "/calculator", "123456789012345678.123456789 "+sign+" (-987654321.000000001)")
		got, ok := new(big.Rat).SetString(said["result"].(string))
		if !ok || got.Cmp(want) != 0 || said["exact"] != true {
			t.Errorf("%s: %v, want %s", sign, said, want.FloatString(30))
		}
	}
}

func FuzzCalculator(f *testing.F) {
	for _, s := range []string{"17.5 % of 240", "9^9^9", "((((1", "1/0", "2^1000^1000", "-----1", "add 1% to 2%", "\xff\xfe", "٣ + ١", "1,,1", "% % %", "of of", "x x x"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, question string) {
		body, err := json.Marshal(map[string]string{"message": question})
		if err != nil {
			return
		}
		began := time.Now()
		for _, agent := range demo.Agents() {
			if status, said := post(t, agent.Path, string(body)); status != 200 && status != 422 {
				t.Errorf("%s: status %d: %v", agent.Path, status, said)
			} else if reply, ok := said["reply"].(string); status == 200 && (!ok || strings.TrimSpace(reply) == "") {
				t.Errorf("%s: no reply: %v", agent.Path, said)
			}
		}
		if took := time.Since(began); took > 2*time.Second {
			t.Errorf("took %s", took)
		}
	})
}

// The worst that fits into a question is done in a moment.
func TestNobodyCanMakeTheAgentsWorkHard(t *testing.T) {
	began := time.Now()
	for _, question := range []string{
		strings.Repeat("9^999*", 330) + "9",
		strings.Repeat("(1/7+", 49) + "1" + strings.Repeat(")", 49),
		strings.TrimSuffix(strings.Repeat("(1/1234567)^99+", 120), "+"),
		strings.Repeat("-", 1900) + "1 + 1",
		strings.Repeat("2^", 900) + "2",
		strings.Repeat("1 of ", 380) + "1",
		"convert " + strings.Repeat("9", 200) + " light-years to micrometers",
		"how many days between " + strings.Repeat("a ", 900),
		strings.Repeat("what is ", 240) + "1 + 1",
		strings.Repeat("to ", 600),
		strings.Repeat("in ", 600),
	} {
		for _, agent := range demo.Agents() {
			ask(t, agent.Path, question)
		}
	}
	body, _ := json.Marshal(map[string]string{"text": strings.Repeat("a b. ", 200_000)})
	if status, said := post(t, "/text", string(body)); status != 200 || said["words"] != float64(400_000) {
		t.Errorf("a large text: %d %v", status, said)
	}
	if took := time.Since(began); took > 5*time.Second {
		t.Errorf("took %s", took)
	}
}

func TestUnitsAreConverted(t *testing.T) {
	for question, want := range map[string]string{
		"convert 10 miles to km":                "10 miles = 16.09344 kilometers",
		"how many grams in 3 pounds":            "3 pounds = 1360.77711 grams",
		"how many grams are there in 3 pounds?": "3 pounds = 1360.77711 grams",
		"how many feet are in a mile?":          "1 miles = 5280 feet",
		"What is 100 fahrenheit in celsius?":    "100 °F ≈ 37.7777777777778 °C (rounded to 15 significant digits)",
		"-40 °C to °F":                          "-40 °C = -40 °F",
		"98.6 degrees fahrenheit to celsius":    "98.6 °F = 37 °C",
		"0 kelvin in celsius":                   "0 K = -273.15 °C",
		"5 ft 11 in to cm":                      "5 feet 11 inches = 180.34 centimeters",
		"10 in to cm":                           "10 inches = 25.4 centimeters",
		"2 gallons in liters":                   "2 US gallons = 7.570823568 liters",
		"1 imperial gallon in liters":           "1 imperial gallons = 4.54609 liters",
		"convert 60 mph to km/h":                "60 mph = 96.56064 km/h",
		"100 km/h in m/s":                       "100 km/h ≈ 27.7777777777778 m/s (rounded to 15 significant digits)",
		"how many acres in 2 hectares":          "2 hectares ≈ 4.94210762934331 acres (rounded to 15 significant digits)",
		"1500 square feet to square meters":     "1500 square feet = 139.35456 square meters",
		"3 gb to mb":                            "3 gigabytes = 3000 megabytes",
		"1 GiB in MiB":                          "1 gibibytes = 1024 mebibytes",
		"how many seconds in a week?":           "1 weeks = 604800 seconds",
		"90 minutes in hours":                   "90 minutes = 1.5 hours",
		"1,500 ml to l":                         "1500 milliliters = 1.5 liters",
		"how many cups in a liter":              "1 liters ≈ 4.22675283773037 US cups (rounded to 15 significant digits)",
		"1 year in days":                        "1 years = 365 days, for a year of 365 days",
		"8 Mbit to MB":                          "8 megabits = 1 megabytes",
		"8 mb to kb":                            "8 megabytes = 8000 kilobytes",
		"8 Mb to MB":                            "", // megabits, if case counts
		"8 b in bits":                           "",
		"-5 ft 6 in to cm":                      "",
		"5 ft -6 in to cm":                      "",
		"how tall is 6 foot 2 in cm":            "",
		"convert 10 miles to kilograms":         "",
		"convert 10 flurbs to km":               "",
		"-500 c to f":                           "",
		"convert ten to km":                     "",
		"how many people live in Rome?":         "",
		"10 euros to dollars":                   "",
		"convert 1 mile":                        "",
	} {
		if reply, _ := ask(t, "/units", question); reply != want {
			t.Errorf("%q: %q, want %q", question, reply, want)
		}
	}
	if _, said := post(t, "/units", `{"value":10,"from":"mi","to":"km"}`); said["result"] != "16.09344" {
		t.Errorf("fields: %v", said)
	}
	if _, said := post(t, "/units", `{"value":8,"from":"Mb","to":"MB"}`); said["error"] == nil {
		t.Errorf("megabits or megabytes: %v", said)
	}
	if _, said := post(t, "/units", `{"value":1e400,"from":"mi","to":"km"}`); said["error"] == nil {
		t.Errorf("a number with an exponent: %v", said)
	}
}

func TestTextsAreCounted(t *testing.T) {
	for question, want := range map[string]string{
		`how many words are in "to be or not to be"?`:                                    "The text has 6 words.",
		"count the characters in: hello world":                                           "The text has 11 characters, 10 without spaces.",
		"how many letters are in the word strawberry":                                    "The text has 10 letters.",
		"what is the longest word in 'a quick brown elephant'? no: quick brown elephant": `The longest word is "elephant", with 8 letters.`,
		`how many sentences are in "Hi. It costs 3.14 dollars! Really?"`:                 "The text has 3 sentences.",
		"count lines:\none\ntwo\nthree":                                                  "The text has 3 lines.",
		`word count of "don't stop well-known things"`:                                   "The text has 4 words.",
		`how many vowels in "education"`:                                                 "The text has 5 vowels.",
		`how long does it take to read "one two three"?`:                                 "Reading it takes about 1 second: the text has 3 words.",
		`text statistics: One two. Three.`:                                               `The text has 3 words, 15 characters (13 without spaces), 1 line and 2 sentences. Its longest word is "Three"; reading it takes about 1 second.`,
		`how many words in "日本語 テキスト"`:                                                   "The text has 2 words.",
		"how many letters in strawberry?":                                                "The text has 10 letters.",
		"how many words in the sentence I am here":                                       "The text has 3 words.",
		"how many characters in 'hello'":                                                 "The text has 5 characters, 5 without spaces.",
		`how many words and letters in "hello world"`:                                    "The text has 2 words, 11 characters (10 without spaces), 10 letters, 3 vowels, 1 line, 1 sentence and 1 paragraph.",
		`how many sentences in "Mr. Smith paid 3.50. Why?"`:                              "The text has 2 sentences.",
		`how many words in "it costs 3.14 or 1,000"`:                                     "The text has 5 words.",
		`how many words in "hello" and "world"`:                                          "",
		"count the letter r in strawberry":                                               "",
		`count the letter "r" in "strawberry"`:                                           "",
		`how many r letters in strawberry`:                                               "",
		`how many unique words in "a a b"`:                                               "",
		`how many uppercase letters in "Hello"`:                                          "",
		`how many times is the word "a" in "a b a"`:                                      "",
		"how many letters are in the alphabet":                                           "",
		"how many words are in the bible":                                                "",
		"how many words in this sentence":                                                "",
		"longest word in english":                                                        "",
		"how many books did she read in 2020?":                                           "",
		"crime statistics in chicago":                                                    "",
		"who wrote Hamlet?":                                                              "",
		"how many people live in Rome?":                                                  "",
		"say something: anything":                                                        "",
		"how many words are there":                                                       "",
	} {
		if reply, _ := ask(t, "/text", question); reply != want {
			t.Errorf("%q: %q, want %q", question, reply, want)
		}
	}
	if _, said := post(t, "/text", `{"text":"a\n\nb b\n"}`); said["paragraphs"] != 2.0 || said["lines"] != 4.0 || said["words"] != 3.0 || said["characters"] != 7.0 {
		t.Errorf("a text: %v", said)
	}
}

func TestDatesAndTimesAreKnown(t *testing.T) {
	for question, want := range map[string]string{
		"what time is it in Tokyo?":                                     "In Tokyo it is 08:30 on Friday, 16 January 2026 (Asia/Tokyo, UTC+09:00).",
		"What's the time in New York right now?":                        "In New York it is 18:30 on Thursday, 15 January 2026 (America/New_York, UTC-05:00).",
		"current time in são paulo":                                     "In São Paulo it is 20:30 on Thursday, 15 January 2026 (America/Sao_Paulo, UTC-03:00).",
		"time in Asia/Kolkata":                                          "In Asia/Kolkata it is 05:00 on Friday, 16 January 2026 (Asia/Kolkata, UTC+05:30).",
		"days between 2026-01-01 and 2026-03-01":                        "From Thursday, 1 January 2026 to Sunday, 1 March 2026 it is 59 days.",
		"How many days are there between Jan 1, 2026 and 1 March 2026?": "From Thursday, 1 January 2026 to Sunday, 1 March 2026 it is 59 days.",
		"how many days until 2026-12-24":                                "From Thursday, 15 January 2026 to Thursday, 24 December 2026 it is 343 days.",
		"how many days until christmas?":                                "From Thursday, 15 January 2026 to Friday, 25 December 2026 it is 344 days.",
		"how many weeks between 2026-01-01 and 2026-01-20":              "From Thursday, 1 January 2026 to Tuesday, 20 January 2026 it is 2 weeks and 5 days.",
		"how many days since 2026-01-01":                                "From Thursday, 1 January 2026 to Thursday, 15 January 2026 it is 14 days.",
		"days between 1700-01-01 and 2026-01-01":                        "From Friday, 1 January 1700 to Thursday, 1 January 2026 it is 119069 days.",
		"how many days since january 1":                                 "From Thursday, 1 January 2026 to Thursday, 15 January 2026 it is 14 days.",
		"how many days since christmas":                                 "From Thursday, 25 December 2025 to Thursday, 15 January 2026 it is 21 days.",
		"how many days since feb 29":                                    "From Thursday, 29 February 2024 to Thursday, 15 January 2026 it is 686 days.",
		"how many days until feb 29":                                    "From Thursday, 15 January 2026 to Tuesday, 29 February 2028 it is 775 days.",
		"days between january 1 and march 1":                            "From Thursday, 1 January 2026 to Sunday, 1 March 2026 it is 59 days.",
		"days between january 1 and today":                              "From Thursday, 1 January 2026 to Thursday, 15 January 2026 it is 14 days.",
		"days between christmas and new year":                           "From Friday, 25 December 2026 to Friday, 1 January 2027 it is 7 days.",
		"days from today to tomorrow":                                   "From Thursday, 15 January 2026 to Friday, 16 January 2026 it is 1 day.",
		"what day was christmas":                                        "25 December 2025 was a Thursday.",
		"what time is it in Berlin, Germany?":                           "In Berlin, Germany it is 00:30 on Friday, 16 January 2026 (Europe/Berlin, UTC+01:00).",
		"what time is it in Chicago, USA?":                              "In Chicago, Usa it is 17:30 on Thursday, 15 January 2026 (America/Chicago, UTC-06:00).",
		"what time is it in Washington, DC?":                            "In Washington, Dc it is 18:30 on Thursday, 15 January 2026 (America/New_York, UTC-05:00).",
		"what time is it in Austin, Texas?":                             "In Austin, Texas it is 17:30 on Thursday, 15 January 2026 (America/Chicago, UTC-06:00).",
		"what time is it in Paris, Texas?":                              "",
		"what time is it in London, Ontario?":                           "",
		"what weekday is 2026-12-24?":                                   "24 December 2026 is a Thursday.",
		"what day of the week was July 20, 1969":                        "20 July 1969 was a Sunday.",
		"add 90 days to 2026-01-15":                                     "90 days after Thursday, 15 January 2026 is Wednesday, 15 April 2026 (2026-04-15).",
		"what is 2026-01-31 plus 1 month":                               "1 month after Saturday, 31 January 2026 is Saturday, 28 February 2026 (2026-02-28).",
		"what date is 3 weeks before 2026-03-01":                        "3 weeks before Sunday, 1 March 2026 is Sunday, 8 February 2026 (2026-02-08).",
		"subtract 10 days from 2026-01-05":                              "10 days before Monday, 5 January 2026 is Friday, 26 December 2025 (2025-12-26).",
		"what is the date in 30 days?":                                  "30 days after Thursday, 15 January 2026 is Saturday, 14 February 2026 (2026-02-14).",
		"what day is it today?":                                         "Today is Thursday, 15 January 2026 (UTC).",
		"is 2028 a leap year?":                                          "2028 is a leap year.",
		"is 2026 a leap year?":                                          "2026 is not a leap year.",
		"what week number is 2026-12-31":                                "Thursday, 31 December 2026 is in week 53 of 2026 (ISO 8601).",
		"if it is 3pm in Berlin, what time is it in Tokyo?":             "When it is 15:00 in Berlin, it is 23:00 in Tokyo (on Friday, 16 January 2026).",
		"convert 15:30 london to new york":                              "",
		"what time is it in Atlantis?":                                  "",
		"what weekday is 2026-02-30":                                    "",
		"days between tuesday and 2026-01-01":                           "",
		"when was Rome founded?":                                        "",
		"time in ../../etc/passwd":                                      "",
		"time in etc/../../passwd":                                      "",
		"add 9999999 years to 2026-01-01":                               "",
	} {
		if reply, _ := ask(t, "/dates", question); reply != want {
			t.Errorf("%q: %q, want %q", question, reply, want)
		}
	}
	if _, said := post(t, "/dates", `{"timezone":"America/Argentina/Buenos_Aires"}`); said["result"] != "2026-01-15T20:30:00-03:00" {
		t.Errorf("a zone: %v", said)
	}
}

func TestRequestsThatAreNoneAreRefused(t *testing.T) {
	for _, agent := range demo.Agents() {
		for body, want := range map[string]int{"": 400, "x": 400, "[]": 400, "null": 400, `{}`: 422, `{"message":7}`: 422, `{"message":" "}`: 422,
			`{"message":"` + strings.Repeat("a", 1<<20) + `"}`: 413, `{"message":"` + strings.Repeat("a", 2001) + `"}`: 422} {
			if status, said := post(t, agent.Path, body); status != want || said["error"] == nil {
				t.Errorf("%s %.20s: %d %v, want %d", agent.Path, body, status, said, want)
			}
		}
		var schema map[string]any
		if err := json.Unmarshal([]byte(agent.Schema), &schema); err != nil || schema["type"] != "object" {
			t.Errorf("%s: schema %s: %v", agent.Name, agent.Schema, err)
		}
	}
	for _, c := range [][2]string{{"GET", "/calculator"}, {"POST", "/"}, {"POST", "/other"}} {
		rec := httptest.NewRecorder()
		demo.Handler(now).ServeHTTP(rec, httptest.NewRequest(c[0], c[1], nil))
		if text, _ := io.ReadAll(rec.Body); rec.Code < 404 || rec.Code > 405 {
			t.Errorf("%v: %d %s", c, rec.Code, text)
		}
	}
}
