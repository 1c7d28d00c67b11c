package registry

import (
	"slices"
	"strings"
	"unicode"

	"github.com/IntunoAI/intuno-go/internal/search"
)

// Content is by what discovery finds an agent: made from its text, kept with it.
type Content struct {
	Words    string // search.Words as text
	Analyzer string // which analyzer made them
	Vectors  []Vector
	text     string // what the vectors were made from
}

// Vector is the meaning of an agent's text in the space of one model. Vectors of
// different models never compare.
type Vector struct {
	Model  string
	Packed []byte // as embedding.Quantise packs it; empty: the text has no direction
}

// words is the content of a without vectors.
func words(a Agent) Content {
	return Content{Words: search.AnalyzeDocument(a.Name, a.Tags, a.Description).String(), Analyzer: search.AnalyzerVersion, text: Text(a)}
}

// Text is what a model reads of a: the name, split as its author meant it to be read,
// then tags and description.
func Text(a Agent) string {
	return spread(a.Name) + ": " + strings.Join(append(slices.Clone(a.Tags), a.Description), ", ")
}

// spread puts spaces where CamelCase and snake_case separate words: models do not
// know words that are glued together.
func spread(name string) string {
	var b strings.Builder
	var before rune
	runes := []rune(name)
	for i, r := range runes {
		switch {
		case r == '_':
			r = ' '
		case unicode.IsUpper(r) && (unicode.IsLower(before) || unicode.IsUpper(before) && i+1 < len(runes) && unicode.IsLower(runes[i+1])):
			b.WriteByte(' ')
		}
		b.WriteRune(r)
		before = r
	}
	return b.String()
}

// sameText tells whether discovery finds both agents by the same content.
func sameText(a, b Agent) bool {
	return a.Name == b.Name && a.Description == b.Description && strings.Join(a.Tags, "\x00") == strings.Join(b.Tags, "\x00")
}
