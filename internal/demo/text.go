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
	quoted = regexp.MustCompile(`(?s)["“”„«](.+)["“”»]`)
	inside = regexp.MustCompile(`(?is)\b(?:characters?|words?|letters?|lines?|sentences?|paragraphs?|vowels?|word|statistics|stats|long|length|time|read)\b.{0,60}?\b(?:in|of|for)\b(?: the| this| that| following| text| sentence| phrase| paragraph| word)*\s+(.+)$`)
	// subjects are what a question must be about: what is counted, and a word for counting.
	subjects = regexp.MustCompile(`(?i)\b(?:count|counts|counting|many|number of|longest|shortest|statistics|stats|length|long|analy[sz]e|reading time|read)\b`)
	things   = regexp.MustCompile(`(?i)\b(?:characters?|words?|letters?|lines?|sentences?|paragraphs?|vowels?|text|statistics|stats|reading time|read|string|phrase)\b`)
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
		text = quoted.FindStringSubmatch(asked)[1]
		head = strings.Replace(asked, text, "", 1)
	case strings.Contains(asked, ":"):
		head, text, _ = strings.Cut(asked, ":")
	case strings.Contains(asked, "\n"):
		head, text, _ = strings.Cut(asked, "\n")
	default:
		if m := inside.FindStringSubmatch(asked); m != nil {
			text = m[1]
			head = strings.TrimSuffix(asked, text)
		}
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
		if letter || r == '\'' || r == '’' || r == '-' {
			if word < 0 {
				word = i
			}
			solid = solid || letter
			continue
		}
		end(i)
		switch {
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
