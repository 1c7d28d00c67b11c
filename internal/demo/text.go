package demo

import (
	"fmt"
	"regexp"
	"strings"
	"unicode"
	"unicode/utf8"
)

// wordsPerMinute is how fast people read, by a meta-analysis of 190 studies (Brysbaert
// 2019: 238 words of English non-fiction a minute).
const wordsPerMinute = 238

// figures are what can be counted of a text.
type figures struct {
	characters, noSpaces, letters, words, lines, sentences, paragraphs, vowels int
	longest, shortest                                                          string
}

var (
	quoted = regexp.MustCompile("(?s)[\"“”„«](.+)[\"“”»]|(?:^|\\s)['‘](.+)['’](?:[?.!]|$)")
	// several is a list of quotations: it is not said how they belong together.
	several = regexp.MustCompile(`["“”»']\s*(?:,|and|or|in|of|vs\.?|than)\s+["“”„«']`)
	// inside is a text without quotes, told apart from the question by what it is called. A
	// single word needs that only if it might be a name: "letters in the alphabet".
	inside = regexp.MustCompile(`(?is)\b(?:in|of|for)\s+(?:the|this|that)\s+(?:following\s+)?(?:word|text|sentence|phrase|string|paragraph|line)s?\s+(\S.*)$`)
	spelt  = regexp.MustCompile(`(?i)\b(?:letters|vowels|characters)\s+(?:are\s+)?(?:there\s+)?(?:in|of)\s+(\pL+)[?.!]*$`)
	// whereabouts begin what is no text but says where one is.
	whereabouts = regexp.MustCompile(`(?i)^(?:of|from|by|below|above|on|at|in|is|are|was|that|which)\b`)
	languages   = regexp.MustCompile(`(?i)^(?:english|french|german|spanish|italian|portuguese|dutch|russian|greek|latin|hebrew|arabic|chinese|japanese|korean|hindi|hawaiian|unicode|ascii|total|all|it|this|that|them|here)$`)
	// subjects are what a question must be about: what is counted, and a word for counting.
	subjects = regexp.MustCompile(`(?i)\b(?:count|counts|counting|many|number of|longest|shortest|statistics|stats|length|long|analy[sz]e|reading time|read)\b`)
	things   = regexp.MustCompile(`(?i)\b(?:characters?|words?|letters?|lines?|sentences?|paragraphs?|vowels?|text|statistics|stats|reading time|read|string|phrase)\b`)
	// narrower asks for some of what is counted only, or for how often it is there.
	narrower = regexp.MustCompile(`(?i)\b(?:unique|distinct|different|repeated|duplicate|upper-?case|lower-?case|capitals?|capitalized|average|mean|median|times|often|occurrences?|occurs?|appears?|` +
		`\pL (?:letters?|characters?)|start|starting|begin|beginning|end|ending|contain|containing|with|per|the (?:letter|character|word) \S+ (?:in|of)|(?:letters?|characters?|words?) ["'“‘]?\pL["'”’]? (?:are |is )?(?:there )?(?:in|of))\b`)
	// both asks for more than one figure.
	both = regexp.MustCompile(`(?i)\b(?:characters?|words?|letters?|lines?|sentences?|paragraphs?|vowels?)(?:,| and|, and) (?:characters?|words?|letters?|lines?|sentences?|paragraphs?|vowels?)\b`)
)

// count answers as the counter of words.
func count(in input) (answer, error) {
	asked, text := in.text("message"), ""
	if asked == "" {
		if text = in.whole("text"); strings.TrimSpace(text) == "" {
			return answer{}, confused("give me a text under \"text\", or a question about one under \"message\"")
		}
		return counted(all, text), nil
	}
	head := asked
	switch {
	case quoted.MatchString(asked):
		m := quoted.FindStringSubmatch(asked)
		text = m[1] + m[2]
		head = strings.Replace(asked, text, "", 1)
	case strings.Contains(asked, ":"):
		head, text, _ = strings.Cut(asked, ":")
	case strings.Contains(asked, "\n"):
		head, text, _ = strings.Cut(asked, "\n")
	default:
		if m := inside.FindStringSubmatch(asked); m != nil && !whereabouts.MatchString(m[1]) {
			text = m[1]
			head = strings.TrimSuffix(asked, text)
		} else if m := spelt.FindStringSubmatch(asked); m != nil && !languages.MatchString(m[1]) {
			text = m[1]
			head = strings.Replace(asked, text, "", 1)
		}
	}
	if narrower.MatchString(head) || several.MatchString(text) {
		return answer{}, confused("I only count all words, characters, letters, vowels, lines, sentences and paragraphs of one text")
	}
	text = strings.TrimSpace(text)
	if text == "" || len(head) > maxQuestion || !subjects.MatchString(head) || !things.MatchString(head) {
		return answer{}, confused("I count words, characters, lines and sentences, as in: how many words are in \"to be or not to be\"")
	}
	return counted(strings.ToLower(head), text), nil
}

// all asks for everything.
const all = "statistics"

func counted(asked, text string) answer {
	f := figuresOf(text)
	seconds := (f.words*60 + wordsPerMinute - 1) / wordsPerMinute
	facts := map[string]any{"characters": f.characters, "characters_without_spaces": f.noSpaces, "letters": f.letters, "words": f.words, "lines": f.lines,
		"sentences": f.sentences, "paragraphs": f.paragraphs, "vowels": f.vowels, "longest_word": f.longest, "shortest_word": f.shortest, "reading_seconds": seconds}
	reply := ""
	switch {
	case both.MatchString(asked):
		reply = fmt.Sprintf("The text has %s, %s (%d without spaces), %s, %s, %s, %s and %s.", some(f.words, "word"), some(f.characters, "character"), f.noSpaces,
			some(f.letters, "letter"), some(f.vowels, "vowel"), some(f.lines, "line"), some(f.sentences, "sentence"), some(f.paragraphs, "paragraph"))
	case strings.Contains(asked, "longest"):
		reply = fmt.Sprintf("The longest word is %q, with %s.", short(f.longest), some(utf8.RuneCountInString(f.longest), "letter"))
	case strings.Contains(asked, "shortest"):
		reply = fmt.Sprintf("The shortest word is %q, with %s.", short(f.shortest), some(utf8.RuneCountInString(f.shortest), "letter"))
	case strings.Contains(asked, "read"):
		reply = fmt.Sprintf("Reading it takes about %s: the text has %s.", duration(seconds), some(f.words, "word"))
	case strings.Contains(asked, "vowel"):
		reply = fmt.Sprintf("The text has %s.", some(f.vowels, "vowel"))
	case strings.Contains(asked, "sentence") && !strings.Contains(asked, "word") && !strings.Contains(asked, "character") && !strings.Contains(asked, "letter"):
		reply = fmt.Sprintf("The text has %s.", some(f.sentences, "sentence"))
	case strings.Contains(asked, "paragraph") && !strings.Contains(asked, "word"):
		reply = fmt.Sprintf("The text has %s.", some(f.paragraphs, "paragraph"))
	case strings.Contains(asked, "line"):
		reply = fmt.Sprintf("The text has %s.", some(f.lines, "line"))
	case strings.Contains(asked, "letter"):
		reply = fmt.Sprintf("The text has %s.", some(f.letters, "letter"))
	case strings.Contains(asked, "character"):
		reply = fmt.Sprintf("The text has %s, %d without spaces.", some(f.characters, "character"), f.noSpaces)
	case strings.Contains(asked, "word"):
		reply = fmt.Sprintf("The text has %s.", some(f.words, "word"))
	default:
		reply = fmt.Sprintf("The text has %s, %s (%d without spaces), %s and %s. Its longest word is %q; reading it takes about %s.", some(f.words, "word"),
			some(f.characters, "character"), f.noSpaces, some(f.lines, "line"), some(f.sentences, "sentence"), short(f.longest), duration(seconds))
	}
	return answer{reply, facts}
}

// figuresOf counts in one pass. A word is a run of letters, digits, apostrophes and
// hyphens with at least one letter or digit; a sentence ends with ., ! or ? behind a word, or with
// the text.
func figuresOf(text string) figures {
	f := figures{lines: 1}
	word, solid, open, paragraph, blank := 0, false, false, false, true // word is where the current one begins, -1: none
	word = -1
	end := func(i int) {
		if word >= 0 && solid {
			w := strings.Trim(text[word:i], "'’-")
			f.words++
			open = true
			if utf8.RuneCountInString(w) > utf8.RuneCountInString(f.longest) {
				f.longest = w
			}
			if f.shortest == "" || utf8.RuneCountInString(w) < utf8.RuneCountInString(f.shortest) {
				f.shortest = w
			}
		}
		word, solid = -1, false
	}
	for i, r := range text {
		f.characters++
		if !unicode.IsSpace(r) {
			f.noSpaces++
			blank = false
			if !paragraph {
				f.paragraphs, paragraph = f.paragraphs+1, true
			}
		}
		if unicode.IsLetter(r) {
			f.letters++
		}
		if strings.ContainsRune("aeiouAEIOU", r) {
			f.vowels++
		}
		letter := unicode.IsLetter(r) || unicode.IsDigit(r) || unicode.IsMark(r)
		if letter || r == '\'' || r == '’' || r == '-' || (r == '.' || r == ',') && betweenDigits(text, i) {
			if word < 0 {
				word = i
			}
			solid = solid || letter
			continue
		}
		abbreviated := word >= 0 && r == '.' && abbreviations[strings.ToLower(text[word:i])]
		end(i)
		switch {
		case abbreviated && strings.TrimSpace(text[i+1:]) != "":
		case (r == '.' || r == '!' || r == '?' || r == '。') && open && endsHere(text[i+utf8.RuneLen(r):]):
			f.sentences, open = f.sentences+1, false
		case r == '\n':
			f.lines++
			if blank {
				paragraph = false
			}
			blank = true
		}
	}
	end(len(text))
	if open {
		f.sentences++
	}
	return f
}

// abbreviations are written with a full stop that ends no sentence.
var abbreviations = map[string]bool{"mr": true, "mrs": true, "ms": true, "dr": true, "prof": true, "st": true, "vs": true, "approx": true, "e": true, "g": true}

// betweenDigits tells whether the sign at i is part of a number, as in 3.14.
func betweenDigits(text string, i int) bool {
	return i > 0 && i+1 < len(text) && text[i-1] >= '0' && text[i-1] <= '9' && text[i+1] >= '0' && text[i+1] <= '9'
}

// endsHere tells whether a mark before rest ends a sentence: 3.14 has none.
func endsHere(rest string) bool {
	r, _ := utf8.DecodeRuneInString(rest)
	return rest == "" || !unicode.IsLetter(r) && !unicode.IsDigit(r)
}

// some is "1 word" or "2 words".
func some(n int, what string) string {
	if n == 1 {
		return "1 " + what
	}
	return fmt.Sprintf("%d %ss", n, what)
}

func duration(seconds int) string {
	if seconds < 60 {
		return some(seconds, "second")
	}
	return some((seconds+30)/60, "minute")
}
