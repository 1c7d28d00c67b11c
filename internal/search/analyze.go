package search

import (
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/blevesearch/snowballstem"
	"github.com/blevesearch/snowballstem/english"
	"golang.org/x/text/unicode/norm"
)

const (
	maxField = 64 << 10 // bytes of one text that are analysed
	maxTerm  = 64       // bytes of a term; what a longer word has more is cut off
	maxTerms = 1024     // distinct terms that are kept of one text
)

// AnalyzerVersion names what AnalyzeDocument and AnalyzeQuery do. Words that were
// stored by another version do not match the queries of this one: analyse again.
const AnalyzerVersion = "en-snowball-1"

// A term of the name or of a tag counts like this many of the description.
const (
	nameWeight = 2
	tagWeight  = 2
)

// stopWords are dropped from queries. They stay in documents, so that a query of
// nothing else still finds something.
var stopWords = map[string]bool{
	"a": true, "an": true, "and": true, "any": true, "are": true, "as": true, "at": true, "be": true, "been": true,
	"but": true, "by": true, "can": true, "could": true, "did": true, "do": true, "does": true, "for": true,
	"from": true, "had": true, "has": true, "have": true, "how": true, "i": true, "if": true, "in": true, "into": true,
	"is": true, "it": true, "its": true, "me": true, "my": true, "of": true, "on": true, "or": true, "our": true,
	"should": true, "so": true, "some": true, "than": true, "that": true, "the": true, "their": true, "them": true,
	"then": true, "there": true, "these": true, "they": true, "this": true, "to": true, "was": true, "we": true,
	"were": true, "what": true, "when": true, "where": true, "which": true, "who": true, "why": true, "will": true,
	"with": true, "would": true, "you": true, "your": true,
}

// AnalyzeDocument returns the terms of a document: folded, lower-case, stemmed words,
// those of name and tags counting more than those of the description. Compounds such
// as getWeather and mp3 count as their parts and as a whole. Any text will do; of very
// long ones only the beginning counts.
func AnalyzeDocument(name string, tags []string, description string) Words {
	d := document{weights: map[string]int{}}
	d.add(name, nameWeight)
	for _, tag := range tags[:min(len(tags), maxTerms)] {
		d.add(tag, tagWeight)
	}
	d.add(description, 1)
	return d.words()
}

// AnalyzeQuery returns the distinct terms of a query in the order of the text, without
// stop words unless there is nothing else.
func AnalyzeQuery(text string) []string {
	terms, _ := WeighQuery(text, func(string) float64 { return 1 })
	return terms
}

// WeighQuery is AnalyzeQuery with weights for Query.Weights: what weigh returns for the
// word, folded and lower-case but not stemmed; if several words have one stem, the
// greatest.
func WeighQuery(text string, weigh func(word string) float64) (terms []string, weights []float64) {
	var stops []string
	var stopWeights []float64
	seen := map[string]int{}
	eachTerm(text, func(term, word string) bool {
		to, toWeights := &terms, &weights
		if stopWords[word] {
			to, toWeights = &stops, &stopWeights
		}
		if i, ok := seen[term]; ok && i < len(*to) && (*to)[i] == term {
			(*toWeights)[i] = max((*toWeights)[i], weigh(word))
		} else if !ok {
			seen[term] = len(*to)
			*to, *toWeights = append(*to, term), append(*toWeights, weigh(word))
		}
		return len(seen) < maxTerms
	})
	if len(terms) == 0 {
		return stops, stopWeights
	}
	return terms, weights
}

// document gathers the terms of one document.
type document struct {
	weights map[string]int
	length  int
}

func (d *document) add(text string, weight int) {
	eachTerm(text, func(term, _ string) bool {
		have, known := d.weights[term]
		if known || len(d.weights) < maxTerms {
			d.weights[term] = min(have+weight, maxWeight)
			d.length++
		}
		return true
	})
}

// eachTerm calls use for the terms of text until it returns false. word is what term
// is the stem of.
func eachTerm(text string, use func(term, word string) bool) {
	text = fold(cut(text, maxField))
	var parts []string
	more := true
	afterApostrophe := false
	for start := 0; start < len(text) && more; {
		end := start
		for end < len(text) {
			r, size := utf8.DecodeRuneInString(text[end:])
			if !isWord(r) {
				break
			}
			end += size
		}
		if end == start {
			r, size := utf8.DecodeRuneInString(text[start:])
			afterApostrophe = start > 0 && (r == '\'' || r == '’')
			start += size
			continue
		}
		word := text[start:end]
		start = end
		if afterApostrophe && isClitic(word) {
			continue
		}
		afterApostrophe = false
		parts = split(parts[:0], word)
		for _, part := range parts {
			lower := strings.ToLower(part)
			if more = more && use(stem(lower), lower); !more {
				return
			}
		}
		if len(parts) > 1 && !strings.ContainsFunc(word, isIdeograph) {
			lower := strings.ToLower(word)
			more = use(stem(lower), lower)
		}
	}
}

// split appends the parts of a word: it is divided where a small letter meets a
// capital, before the last of several capitals that a small letter follows, between
// letters and digits, and around every ideograph.
func split(parts []string, word string) []string {
	const (
		other = iota
		small
		capital
		digit
		ideograph
	)
	class := func(r rune) int {
		switch {
		case unicode.IsUpper(r):
			return capital
		case unicode.IsNumber(r):
			return digit
		case isIdeograph(r):
			return ideograph
		case unicode.IsLetter(r):
			return small
		default:
			return other
		}
	}
	start, before := 0, other
	for i, r := range word {
		now := class(r)
		if now == other { // a mark belongs to what it marks
			continue
		}
		next := other
		if now == capital && before == capital {
			following, _ := utf8.DecodeRuneInString(word[i+utf8.RuneLen(r):])
			next = class(following)
		}
		cutHere := before != other && (now != before && !(before == capital && now == small) || now == ideograph || next == small)
		if cutHere {
			parts = append(parts, word[start:i])
			start = i
		}
		before = now
	}
	return append(parts, word[start:])
}

// stem returns the stem of a lower-case word by the English Snowball algorithm
// (https://snowballstem.org/algorithms/english/stemmer.html). Words of other letters
// pass as they are.
func stem(word string) string {
	word = cut(word, maxTerm)
	for i := range len(word) {
		if word[i] < 'a' || 'z' < word[i] {
			return word
		}
	}
	env := snowballstem.NewEnv(word)
	english.Stem(env)
	return env.Current()
}

// fold removes accents and the differences between forms of one letter. Capitals stay.
func fold(text string) string {
	ascii := true
	for i := 0; i < len(text) && ascii; i++ {
		ascii = text[i] < utf8.RuneSelf
	}
	if ascii {
		return text
	}
	var b strings.Builder
	for _, r := range norm.NFKD.String(text) {
		switch {
		case unicode.Is(unicode.Mn, r) && unicode.Is(unicode.Inherited, r): // an accent, not a vowel sign
		case r < utf8.RuneSelf:
			b.WriteByte(byte(r))
		default:
			if letters, ok := undecomposed[r]; ok {
				b.WriteString(letters)
			} else {
				b.WriteRune(r)
			}
		}
	}
	return norm.NFC.String(b.String())
}

// undecomposed are letters that Unicode does not decompose, with what people type
// who lack them.
var undecomposed = map[rune]string{
	'ß': "ss", 'ẞ': "Ss", 'æ': "ae", 'Æ': "Ae", 'œ': "oe", 'Œ': "Oe", 'ø': "o", 'Ø': "O", 'đ': "d", 'Đ': "D",
	'ð': "d", 'Ð': "D", 'ł': "l", 'Ł': "L", 'þ': "th", 'Þ': "Th", 'ı': "i", 'ς': "σ",
}

func isWord(r rune) bool {
	if r < utf8.RuneSelf {
		return 'a' <= r && r <= 'z' || 'A' <= r && r <= 'Z' || '0' <= r && r <= '9'
	}
	return r != utf8.RuneError && (unicode.IsLetter(r) || unicode.IsNumber(r) || unicode.IsMark(r))
}

// isIdeograph reports whether r is written without spaces around words, so that it
// has to be a term of its own.
func isIdeograph(r rune) bool { return r >= 0x2e80 && unicode.In(r, unicode.Han, unicode.Hiragana) }

// isClitic reports whether word, after an apostrophe, only inflects the word before.
func isClitic(word string) bool {
	return slices.Contains([]string{"s", "t", "d", "m", "ll", "re", "ve"}, strings.ToLower(word))
}

// cut returns at most n bytes of s, whole code points only.
func cut(s string, n int) string {
	if len(s) <= n {
		return s
	}
	for n > 0 && !utf8.RuneStart(s[n]) {
		n--
	}
	return s[:n]
}
