package demo

import (
	"math/big"
	"strings"
)

const (
	// maxBits bounds numerator and denominator of every number that occurs. Numbers of
	// that size are computed with in microseconds.
	maxBits = 8192
	// maxDigits is the longest number that may be written, in digits.
	maxDigits = 200
	// maxFraction is how many digits behind the point are shown of a number that has no
	// more of them; of all others, significant digits are shown.
	maxFraction = 60
	significant = 15
)

var errTooLarge = confusion("the numbers are too large for me")

// bounded is x, or an error if it is too large.
func bounded(x *big.Rat) (*big.Rat, error) {
	if x.Num().BitLen() > maxBits || x.Denom().BitLen() > maxBits {
		return nil, errTooLarge
	}
	return x, nil
}

// parseNumber reads a decimal number; commas may separate groups of three digits. There is
// no exponent: it would let nine characters make a number that fills the memory.
func parseNumber(text string) (*big.Rat, bool) {
	whole, fraction, _ := strings.Cut(text, ".")
	if groups := strings.Split(whole, ","); len(groups) > 1 {
		for i, g := range groups {
			if len(g) > 3 || i > 0 && len(g) != 3 || len(g) == 0 {
				return nil, false
			}
		}
		whole = strings.Join(groups, "")
	}
	digits := whole + fraction
	if digits == "" || len(digits) > maxDigits || strings.Trim(digits, "0123456789") != "" {
		return nil, false
	}
	return new(big.Rat).SetString(whole + "." + fraction + "0")
}

// show writes x. exact is false if it was rounded, to 15 significant digits.
func show(x *big.Rat) (text string, exact bool) {
	if digits, terminates := x.FloatPrec(); terminates && digits <= maxFraction {
		return x.FloatString(digits), true
	}
	f := new(big.Float).SetPrec(maxBits).SetRat(x)
	if exponent := f.MantExp(nil); exponent < -60 || exponent > 200 { // of 2
		return f.Text('e', significant-1), false
	}
	text = new(big.Float).SetPrec(maxBits).SetRat(x).Text('g', significant)
	if !strings.ContainsRune(text, 'e') {
		return text, false
	}
	// Rounded again as a decimal, without an exponent.
	rounded, ok := new(big.Rat).SetString(text)
	if !ok {
		return text, false
	}
	digits, _ := rounded.FloatPrec()
	return rounded.FloatString(digits), false
}

// equals is "= 42", or "≈ 0.333333333333333 (rounded to 15 significant digits)".
func equals(x *big.Rat) string {
	text, exact := show(x)
	if exact {
		return "= " + text
	}
	return "≈ " + text + " (rounded to 15 significant digits)"
}
