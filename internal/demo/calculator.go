package demo

import (
	"math/big"
	"regexp"
	"strconv"
	"strings"
	"unicode"
)

const (
	maxTokens   = 500
	maxNesting  = 50
	maxExponent = 1000
)

// form is a way to say a calculation in words: its groups are calculations themselves.
// Where nothing of the form bounds a group, it must be one number or a share of one: who
// says "multiply 3 by 4 plus 5" may mean 17 or 27.
type form struct {
	words *regexp.Regexp
	make  func(a, b value) (value, error)
}

// alone tells whether no group of m that is open to one side can be cut in two ways.
func (f form) alone(text string, m []int, a, b value) bool {
	return (m[2] > 0 || !a.chained) && (m[5] < len(text) || !b.chained)
}

// forms are tried in this order; what fits none is a calculation in signs. RE2 reads each
// in time linear to the text.
var forms = []form{
	{regexp.MustCompile(`^(?:what|which)\s*(?:percent|percentage|%) of (.+) is (.+)$`), func(a, b value) (value, error) { return share(b, a) }},
	{regexp.MustCompile(`^(?:what|which)\s*(?:percent|percentage|%) is (.+?) (?:out )?of (.+)$`), share},
	{regexp.MustCompile(`^(.+) is what\s*(?:percent|percentage|%) of (.+)$`), share},
	{regexp.MustCompile(`^(.+) as an?\s*(?:percent|percentage|%) of (.+)$`), share},
	{regexp.MustCompile(`^(.+) off(?: of)? (.+)$`), func(a, b value) (value, error) { return less(b, a) }},
	{regexp.MustCompile(`^(.+) (?:discount|reduction) (?:on|of|from) (.+)$`), func(a, b value) (value, error) { return less(b, a) }},
	{regexp.MustCompile(`^(.+) with an? (.+) (?:discount|reduction)$`), less},
	{regexp.MustCompile(`^(.+) (?:tip|tax|vat|interest) (?:on|of) (.+)$`), part},
	{regexp.MustCompile(`^(?:add|adding) (.+?)(?: (?:sales )?(?:tax|vat|tip|interest))? (?:to|on) (.+)$`), func(a, b value) (value, error) { return plus(b, a) }},
	{regexp.MustCompile(`^(?:add|adding) (.+) and (.+)$`), plus},
	{regexp.MustCompile(`^(?:sum|total) of (.+) and (.+)$`), plus},
	{regexp.MustCompile(`^(?:subtract|subtracting|take|deduct|remove) (.+) from (.+)$`), func(a, b value) (value, error) { return less(b, a) }},
	{regexp.MustCompile(`^difference (?:between|of) (.+) and (.+)$`), less},
	{regexp.MustCompile(`^(?:increase|raise) (.+) by (.+)$`), plus},
	{regexp.MustCompile(`^(.+) (?:increased|raised) by (.+)$`), plus},
	{regexp.MustCompile(`^(?:decrease|reduce|lower) (.+) by (.+)$`), less},
	{regexp.MustCompile(`^(.+) (?:decreased|reduced|lowered) by (.+)$`), less},
	{regexp.MustCompile(`^(?:multiply|multiplying) (.+) (?:by|with|and) (.+)$`), times},
	{regexp.MustCompile(`^product of (.+) and (.+)$`), times},
	{regexp.MustCompile(`^(?:divide|dividing|split) (.+) (?:by|between) (.+)$`), over},
	{regexp.MustCompile(`^split (.+) into (.+)$`), over}, // "divide 8 into 56" is said of both quotients
	{regexp.MustCompile(`^(?:quotient|ratio) of (.+) and (.+)$`), over},
}

// phrases become signs before anything else is read.
var phrases = strings.NewReplacer(
	" to the power of ", " ^ ", " raised to the ", " ^ ", " to the power ", " ^ ", " multiplied by ", " * ", " times ", " * ", " x ", " * ",
	" divided by ", " / ", " over ", " / ", " plus ", " + ", " minus ", " - ", " squared", " ^2 ", " cubed", " ^3 ",
	" per cent ", "% ", " percent ", "% ", "**", "^", " half of ", " 0.5 * ", " a quarter of ", " 0.25 * ", " twice ", " 2 * ", " double ", " 2 * ", " triple ", " 3 * ",
	" dollars ", " ", " dollar ", " ", " euros ", " ", " euro ", " ", " pounds ", " ", " usd ", " ", " eur ", " ", "$", " ", "€", " ", "£", " ")

// spelled are the numbers that may be words.
var spelled = map[string]int64{
	"zero": 0, "one": 1, "two": 2, "three": 3, "four": 4, "five": 5, "six": 6, "seven": 7, "eight": 8, "nine": 9, "ten": 10, "eleven": 11, "twelve": 12,
	"thirteen": 13, "fourteen": 14, "fifteen": 15, "sixteen": 16, "seventeen": 17, "eighteen": 18, "nineteen": 19, "twenty": 20, "thirty": 30, "forty": 40,
	"fifty": 50, "sixty": 60, "seventy": 70, "eighty": 80, "ninety": 90, "hundred": 100, "thousand": 1000, "million": 1_000_000,
}

// tens and ones of a number in words, which is one token; and what looks like a
// calculation and is none: a date, and a number to another base.
var (
	compound   = regexp.MustCompile(`\b(twenty|thirty|forty|fifty|sixty|seventy|eighty|ninety)[ -](one|two|three|four|five|six|seven|eight|nine)\b`)
	lookalike  = regexp.MustCompile(`^\d{4}-\d{1,2}-\d{1,2}$|^\d{1,2}[/.]\d{1,2}[/.]\d{4}$|\b0[xob][0-9a-f]`)
	currencies = []*regexp.Regexp{regexp.MustCompile(`\$|\bdollars?\b|\busd\b`), regexp.MustCompile(`€|\beuros?\b|\beur\b`), regexp.MustCompile(`£|\bpounds?\b|\bgbp\b`)}
)

// inDigits writes compound numbers in digits.
func inDigits(text string) string {
	return compound.ReplaceAllStringFunc(text, func(s string) string {
		m := compound.FindStringSubmatch(s)
		return strconv.FormatInt(spelled[m[1]]+spelled[m[2]], 10)
	})
}

// calculate answers as the calculator.
func calculate(in input) (answer, error) {
	text, err := in.question("expression")
	if err != nil {
		return answer{}, err
	}
	asked := bare(plain(text))
	x, err := evaluate(asked)
	if err != nil {
		return answer{}, err
	}
	result, exact := show(x)
	return answer{asked + " " + equals(x), map[string]any{"result": result, "exact": exact}}, nil
}

// evaluate computes what is asked, exactly.
func evaluate(asked string) (*big.Rat, error) {
	several := 0
	for _, c := range currencies {
		if c.MatchString(asked) {
			several++
		}
	}
	if several > 1 {
		return nil, confused("I do not know exchange rates")
	}
	text := strings.TrimSpace(phrases.Replace(" " + inDigits(asked) + " "))
	_, word := spelled[text]
	if word || strings.Trim(text, "0123456789.,") == "" || lookalike.MatchString(text) {
		return nil, confused("that is no calculation")
	}
	for _, f := range forms {
		m := f.words.FindStringSubmatchIndex(text)
		if m == nil {
			continue
		}
		a, errA := parse(text[m[2]:m[3]])
		b, errB := parse(text[m[4]:m[5]])
		switch {
		case errA != nil || errB != nil:
		case !f.alone(text, m, a, b):
			return nil, confused("that can be read in two ways: use signs and parentheses")
		default:
			return result(f.make(a, b))
		}
	}
	return result(parse(text))
}

func result(v value, err error) (*big.Rat, error) {
	if err != nil {
		return nil, err
	}
	return bounded(v.x)
}

// value is a number; percent tells that it was written with a % sign. x is 0.05 for 5%.
type value struct {
	x       *big.Rat
	percent bool
	chained bool // it is a sum, product or quotient without parentheses
}

// plus is a + b; of a percentage, so much of a: 80 + 19% is 95.2.
func plus(a, b value) (value, error) {
	if b.percent && !a.percent {
		b = value{x: new(big.Rat).Mul(a.x, b.x)}
	}
	return made(new(big.Rat).Add(a.x, b.x), a.percent && b.percent)
}

func less(a, b value) (value, error) {
	return plus(a, value{x: new(big.Rat).Neg(b.x), percent: b.percent})
}

func times(a, b value) (value, error) { return made(new(big.Rat).Mul(a.x, b.x), false) }

// part is the percentage a of b.
func part(a, b value) (value, error) {
	if !a.percent {
		return value{}, confused("say how many percent")
	}
	return times(a, b)
}

// portion is so much of b: a fraction or a percentage. "2 of 3" is neither.
func portion(a, b value) (value, error) {
	if a.x.IsInt() && !a.percent {
		return value{}, confused("\"of\" takes a fraction or a percentage")
	}
	return times(a, b)
}

func over(a, b value) (value, error) {
	if b.x.Sign() == 0 {
		return value{}, confused("nothing can be divided by zero")
	}
	return made(new(big.Rat).Quo(a.x, b.x), false)
}

// share is how many percent a is of b.
func share(a, b value) (value, error) {
	v, err := over(a, b)
	if err != nil {
		return value{}, err
	}
	return times(v, value{x: big.NewRat(100, 1)})
}

// power is a^b for an integer b of at most 1000. What it would be is bounded before it is
// computed.
func power(a, b value) (value, error) {
	if !b.x.IsInt() || !b.x.Num().IsInt64() || b.x.Num().Int64() > maxExponent || b.x.Num().Int64() < -maxExponent {
		return value{}, confused("an exponent must be a whole number of at most %d", maxExponent)
	}
	n := b.x.Num().Int64()
	if n < 0 {
		inverse, err := over(value{x: big.NewRat(1, 1)}, a)
		if err != nil {
			return value{}, err
		}
		return power(inverse, value{x: new(big.Rat).SetInt64(-n)})
	}
	if int64(max(a.x.Num().BitLen(), a.x.Denom().BitLen()))*n > maxBits+n {
		return value{}, errTooLarge
	}
	exponent := big.NewInt(n)
	return made(new(big.Rat).SetFrac(new(big.Int).Exp(a.x.Num(), exponent, nil), new(big.Int).Exp(a.x.Denom(), exponent, nil)), false)
}

func made(x *big.Rat, percent bool) (value, error) {
	x, err := bounded(x)
	return value{x: x, percent: percent}, err
}

// parser reads a calculation in signs by recursive descent.
type parser struct {
	tokens []string
	at     int
	depth  int
}

// parse computes an expression:
//
//	sum     = product { ("+" | "-") product }
//	product = signed { ("*" | "/" | "of") signed }
//	signed  = { "+" | "-" } power
//	power   = atom { "%" } [ "^" signed ]
//	atom    = number | "(" sum ")"
func parse(text string) (value, error) {
	tokens, err := tokensOf(text)
	if err != nil {
		return value{}, err
	}
	p := &parser{tokens: tokens}
	v, err := p.sum()
	if err == nil && p.at < len(p.tokens) {
		err = confused("I do not understand %q there", short(p.peek()))
	}
	return v, err
}

func (p *parser) peek() string {
	if p.at == len(p.tokens) {
		return ""
	}
	return p.tokens[p.at]
}

// take reads the next token if it is one of those.
func (p *parser) take(signs ...string) string {
	for _, sign := range signs {
		if p.peek() == sign {
			p.at++
			return sign
		}
	}
	return ""
}

// operators are what two values become one by.
var operators = map[string]func(a, b value) (value, error){"+": plus, "-": less, "*": times, "of": portion, "x": times, "/": over}

func (p *parser) sum() (value, error) {
	if p.depth++; p.depth > maxNesting {
		return value{}, confused("that is nested too deeply")
	}
	defer func() { p.depth-- }()
	return p.chain(p.product, "+", "-")
}

func (p *parser) product() (value, error) { return p.chain(p.signed, "*", "/", "of", "x") }

// chain reads operands with signs between them, from left to right.
func (p *parser) chain(operand func() (value, error), signs ...string) (value, error) {
	v, err := operand()
	for err == nil {
		sign := p.take(signs...)
		if sign == "" {
			return v, nil
		}
		var next value
		if next, err = operand(); err == nil {
			v, err = operators[sign](v, next)
			v.chained = sign != "of"
		}
	}
	return v, err
}

func (p *parser) signed() (value, error) {
	negative := false
	for {
		switch p.take("+", "-") {
		case "-":
			negative = !negative
			continue
		case "+":
			continue
		}
		v, err := p.power()
		if err == nil && negative {
			v.x = new(big.Rat).Neg(v.x)
		}
		return v, err
	}
}

func (p *parser) power() (value, error) {
	v, err := p.atom()
	for err == nil && p.take("%") != "" {
		if v.percent {
			return value{}, confused("one %% is enough")
		}
		v, err = value{x: new(big.Rat).Quo(v.x, big.NewRat(100, 1)), percent: true}, nil
	}
	if err != nil || p.take("^") == "" {
		return v, err
	}
	if p.depth++; p.depth > maxNesting {
		return value{}, confused("that is nested too deeply")
	}
	defer func() { p.depth-- }()
	exponent, err := p.signed()
	if err != nil {
		return value{}, err
	}
	return power(v, exponent)
}

func (p *parser) atom() (value, error) {
	if p.take("(") != "" {
		v, err := p.sum()
		if err == nil && p.take(")") == "" {
			err = confused("a parenthesis is not closed")
		}
		v.chained = false
		return v, err
	}
	token := p.peek()
	if x, ok := parseNumber(token); ok {
		p.at++
		return value{x: x}, nil
	}
	if n, ok := spelled[token]; ok {
		p.at++
		return value{x: new(big.Rat).SetInt64(n)}, nil
	}
	if token == "" {
		return value{}, confused("something is missing at the end")
	}
	return value{}, confused("I do not understand %q: I calculate with + - * / ^ %% and parentheses", short(token))
}

// tokensOf cuts a calculation into numbers, words and signs. Articles are left out.
func tokensOf(text string) ([]string, error) {
	var tokens []string
	for text != "" {
		r := []rune(text[:min(len(text), 4)])[0]
		n := 1
		switch {
		case r == ' ':
			text = text[1:]
			continue
		case unicode.IsDigit(r) || r == '.':
			n = spanOf(text, func(r rune) bool { return r >= '0' && r <= '9' || r == '.' || r == ',' })
		case unicode.IsLetter(r):
			n = spanOf(text, unicode.IsLetter)
		}
		n = max(n, len(string(r)))
		token := text[:min(n, len(text))]
		text = text[len(token):]
		if token == "a" || token == "an" || token == "the" {
			continue
		}
		if tokens = append(tokens, token); len(tokens) > maxTokens {
			return nil, confused("that calculation is too long")
		}
	}
	return tokens, nil
}

// spanOf is how many bytes at the start of text are of that kind.
func spanOf(text string, kind func(rune) bool) int {
	for i, r := range text {
		if !kind(r) {
			return i
		}
	}
	return len(text)
}

// short is a text to be quoted back.
func short(s string) string {
	if r := []rune(s); len(r) > 40 {
		return string(r[:40]) + "…"
	}
	return s
}
