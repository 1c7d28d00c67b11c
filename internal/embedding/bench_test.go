package embedding

import (
	"strings"
	"testing"
)

const (
	tenWords = "find me a cheap flight from London to New York"
	oneAgent = "Weather Advisor. Provides hourly and ten day forecasts for every city of the world, with temperature, wind, rain, " +
		"snow, humidity and air quality. Sends alerts before storms, and answers questions such as whether a trip on a given day " +
		"will be dry, what to wear, and when the sun sets. Data comes from national weather services and is updated every fifteen minutes."
)

func BenchmarkStaticEmbed(b *testing.B) {
	s := builtinTable(b)
	for _, c := range []struct{ name, text string }{
		{"query of 10 words", tenWords},
		{"description of 60 words", oneAgent},
		{"description with accents", strings.ReplaceAll(oneAgent, "e", "é")},
		{"8 KiB of words", strings.Repeat(oneAgent+" ", 30)[:8192]},
		{"8 KiB of unknown words", strings.Repeat(strings.Repeat("a", 99)+"☃ ", 100)[:8192]},
		{"one word of 1 MB", strings.Repeat("a", 1<<20)},
		{"1 MB of accents", strings.Repeat("\u0301", 1<<19)},
	} {
		b.Run(c.name, func(b *testing.B) {
			into := make([]float32, s.Dim())
			b.ReportAllocs()
			for b.Loop() {
				into = s.Vector(c.text, into)
			}
		})
	}
}

func BenchmarkOpenTable(b *testing.B) {
	b.Run("open", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			if _, err := OpenTable(table); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("open and index", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			s, err := OpenTable(table)
			if err != nil {
				b.Fatal(err)
			}
			s.Vector("", nil)
		}
	})
}

func BenchmarkQuantise(b *testing.B) {
	v := builtinTable(b).Vector(oneAgent, nil)
	b.ReportAllocs()
	for b.Loop() {
		Quantise(v)
	}
}
