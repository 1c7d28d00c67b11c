package search

import (
	"slices"
	"strings"
	"testing"
	"unicode/utf8"

	"pgregory.net/rapid"
)

func TestQueriesAreAnalysed(t *testing.T) {
	for text, want := range map[string]string{
		"":                                      "",
		"   \t\n":                               "",
		"What is the weather in Paris":          "weather pari",
		"Weathers, WEATHER; weather!":           "weather",
		"who is it":                             "who is it", // nothing else is there
		"getWeatherForecast":                    "get weather forecast getweatherforecast",
		"HTTPServer":                            "http server httpserver",
		"ABC":                                   "abc",
		"mp3 GPT4 2nd":                          "mp 3 mp3 gpt 4 gpt4 2 nd 2nd",
		"snake_case kebab-case":                 "snake case kebab",
		"the user's data, don’t":                "user data don",
		"crème BRÛLÉE Łódź straße Ærø":          "creme brule lodz strass aero",
		"cre\u0300me":                           "creme", // decomposed
		"ﬁne ｆｕｌｌ ①":                            "fine full 1",
		"погода в Москве":                       "погода в москве",
		"ΟΔΟΣ οδος":                             "οδοσ",
		"天気予報 Tokyo":                            "天 気 予 報 tokyo",
		"東京タワー":                                 "東 京 タワー",
		"हिन्दी":                                "हिन्दी",
		"🙂🎉":                                    "",
		"a\x00b \xff\xfe c":                     "b c",
		"'s":                                    "s", // nothing before it
		"C++ C# .NET R2D2":                      "c net r 2 d r2d2",
		"running runs runner easily fairly sky": "run runner easili fair sky",
	} {
		if got := strings.Join(AnalyzeQuery(text), " "); got != want {
			t.Errorf("%q: got %q, want %q", text, got, want)
		}
	}
}

func TestNamesAndTagsCountMoreThanTheDescription(t *testing.T) {
	got := AnalyzeDocument("WeatherBot", []string{"rain", "forecast"}, "Forecasts the weather: rain, rain, rain.").String()
	if want := "11 bot*2 forecast*3 rain*5 the weather*3 weatherbot*2"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
	if got := AnalyzeDocument("", nil, "").String(); got != "" {
		t.Errorf("got %q of nothing", got)
	}
	if got := AnalyzeDocument("", nil, strings.Repeat("rain ", 1000)).String(); got != "1000 rain*63" {
		t.Errorf("got %q, want a bounded weight", got)
	}
}

func TestWordsOfAQueryAreWeighed(t *testing.T) {
	weights := map[string]float64{"forecasting": 1, "forecast": 2, "rain": 3}
	terms, got := WeighQuery("the forecasting of RAIN, a forecast", func(word string) float64 { return weights[word] })
	if want := []float64{2, 3}; !slices.Equal(got, want) || !slices.Equal(terms, []string{"forecast", "rain"}) {
		t.Errorf("got %v %v, want the greater weight of each stem", terms, got)
	}
}

func TestStoredWordsAreReadBack(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		words := AnalyzeDocument(rapid.String().Draw(t, "name"), rapid.SliceOf(rapid.String()).Draw(t, "tags"), rapid.String().Draw(t, "description"))
		got, err := ParseWords(words.String())
		if err != nil || got != words {
			t.Fatalf("%q: got %q, %v", words, got, err)
		}
	})
}

func TestOtherTextsAreNoWords(t *testing.T) {
	for _, text := range []string{" ", "x", "1", "1 ", "0 a", "-1 a", "01 a", "65536 a", "1 a ", "1  a", "1 b a", "1 a a", "1 a*1", "1 a*64",
		"1 a*02", "1 a*", "1 a*x", "1 *2", "1 " + strings.Repeat("x", maxTerm+1), "9223372036854775808 a", "1 a*9223372036854775808"} {
		if w, err := ParseWords(text); err == nil {
			t.Errorf("%q: got %q, want an error", text, w)
		}
	}
}

func TestHugeTextsAreCut(t *testing.T) {
	word := strings.Repeat("x", 1<<20)
	if got := AnalyzeQuery(word + " rain"); len(got) != 1 || len(got[0]) != maxTerm {
		t.Errorf("got %d terms", len(got))
	}
	var b strings.Builder
	for i := range 1 << 17 {
		b.WriteString(string(rune('a'+i%26)) + string(rune('a'+i/26%26)) + string(rune('a'+i/676%26)) + " ")
	}
	if got := AnalyzeQuery(b.String()); len(got) != maxTerms {
		t.Errorf("got %d terms, want %d", len(got), maxTerms)
	}
	words := AnalyzeDocument(b.String(), slices.Repeat([]string{b.String()}, 5), word)
	n := 0
	words.each(func(string, int) { n++ })
	if n != maxTerms {
		t.Errorf("got %d terms, want %d", n, maxTerms)
	}
	if _, err := ParseWords(words.String()); err != nil {
		t.Error(err)
	}
}

func FuzzAnalyze(f *testing.F) {
	for _, seed := range []string{"", "getWeather3D", "user's don’t", "crème 天気 हिन्दी", "🙂\x00\xff", strings.Repeat("aB1", 100), "\u0300\u0301", "İıſẞ", "ﷺ"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		terms := AnalyzeQuery(text)
		for i, term := range terms {
			if term == "" || len(term) > maxTerm || !utf8.ValidString(term) || strings.ContainsAny(term, " *\x00") || slices.Contains(terms[:i], term) {
				t.Errorf("%q: term %q", text, term)
			}
		}
		words := AnalyzeDocument(text, []string{text}, text)
		got, err := ParseWords(words.String())
		if err != nil || got != words {
			t.Fatalf("%q: got %q, %v", words, got, err)
		}
		// What a query finds of a text is in a document of that text.
		weights := weightsOf(words)
		for _, term := range terms {
			if weights[term] == 0 && len(weights) < maxTerms {
				t.Errorf("%q: %q is in the query, not in the document", text, term)
			}
		}
		x := New[int](0)
		x.Put(Doc[int]{Public: true, Name: text, Words: words})
		if hits := x.Search(Query{Words: terms, Matching: 1}); len(hits) != min(len(terms), 1) {
			t.Errorf("%q: got %d hits of %d terms", text, len(hits), len(terms))
		}
	})
}

func FuzzParseWords(f *testing.F) {
	f.Add("3 a b*2")
	f.Add("65535 \xff*63")
	f.Fuzz(func(t *testing.T, text string) {
		words, err := ParseWords(text)
		if err != nil {
			return
		}
		x := New[int](0)
		x.Put(Doc[int]{Public: true, Words: words})
		words.each(func(term string, weight int) {
			if weight < 1 || weight > maxWeight {
				t.Errorf("%q: weight %d", text, weight)
			}
			if hits := x.Search(Query{Words: []string{term}, Matching: 1}); len(hits) != 1 {
				t.Errorf("%q: %q is not found", text, term)
			}
		})
		x.Remove(Key{})
		if len(x.terms.ids) != 0 {
			t.Errorf("%q: terms remain", text)
		}
	})
}
