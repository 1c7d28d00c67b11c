package search

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// maxWeight bounds the weight of one term. BM25 saturates long before.
const maxWeight = 63

// maxLength bounds the length of a document that counts in BM25, in terms.
const maxLength = 1<<16 - 1

// Words is the analysed text of a document: its terms with their weights, and its
// length in terms. It is kept as its text, which takes no more memory than storing it.
// The zero value has no terms.
type Words struct{ text string }

// errWords is the cause of every refusal of ParseWords.
var errWords = errors.New("not the text of analysed words")

// String returns the form that is stored: the length, then the terms in the order of
// their bytes, each followed by * and its weight if that is more than 1, separated
// by spaces. Without terms it is empty.
func (w Words) String() string { return w.text }

// ParseWords reads what String returned.
func ParseWords(text string) (Words, error) {
	if text == "" {
		return Words{}, nil
	}
	length, rest, _ := strings.Cut(text, " ")
	n, err := strconv.Atoi(length)
	if err != nil || n < 1 || n > maxLength || strconv.Itoa(n) != length || rest == "" {
		return Words{}, fmt.Errorf("length %.20q: %w", length, errWords)
	}
	before := ""
	for field := range strings.SplitSeq(rest, " ") {
		term, weight, weighted := strings.Cut(field, "*")
		if weighted {
			n, err := strconv.Atoi(weight)
			if err != nil || n < 2 || n > maxWeight || strconv.Itoa(n) != weight {
				return Words{}, fmt.Errorf("weight in %.80q: %w", field, errWords)
			}
		}
		if term <= before || len(term) > maxTerm {
			return Words{}, fmt.Errorf("term %.80q: %w", term, errWords)
		}
		before = term
	}
	return Words{text: text}, nil
}

// length is the number of terms, repetitions included.
func (w Words) length() int {
	digits, _, _ := strings.Cut(w.text, " ")
	n, _ := strconv.Atoi(digits) // Words are made by words and ParseWords only
	return n
}

// each calls use for every distinct term in the order of their bytes.
func (w Words) each(use func(term string, weight int)) {
	_, rest, found := strings.Cut(w.text, " ")
	for found {
		var field string
		field, rest, found = strings.Cut(rest, " ")
		weight := 1
		if star := strings.IndexByte(field, '*'); star >= 0 {
			weight, _ = strconv.Atoi(field[star+1:])
			field = field[:star]
		}
		use(field, weight)
	}
}

func (d *document) words() Words {
	if len(d.weights) == 0 {
		return Words{}
	}
	terms := make([]string, 0, len(d.weights))
	for term := range d.weights {
		terms = append(terms, term)
	}
	slices.Sort(terms)
	b := strconv.AppendInt(nil, int64(min(d.length, maxLength)), 10)
	for _, term := range terms {
		b = append(append(b, ' '), term...)
		if weight := d.weights[term]; weight > 1 {
			b = strconv.AppendInt(append(b, '*'), int64(weight), 10)
		}
	}
	return Words{text: string(b)}
}
