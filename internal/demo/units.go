package demo

import (
	"fmt"
	"math/big"
	"regexp"
	"strings"
)

// unit is one unit of a dimension: so many of the dimension's base. Temperatures also
// have an offset: base = x*factor + offset.
type unit struct {
	name      string // as it is shown, of more than one
	dimension string
	factor    string // exact: a decimal number or a fraction
	offset    string
	also      string // its other names, separated by spaces; a name's own spaces are _
}

// units are exact by definition: the foot, the pound and the gallon by the international
// yard and pound agreement of 1959 and the US definitions, the rest by the SI. US units of
// volume are meant unless "imperial" is said. A year has 365 days.
var units = []unit{
	{"meters", "length", "1", "", "m meter metre metres"},
	{"kilometers", "length", "1000", "", "km kms kilometer kilometre kilometres"},
	{"centimeters", "length", "0.01", "", "cm cms centimeter centimetre centimetres"},
	{"millimeters", "length", "0.001", "", "mm millimeter millimetre millimetres"},
	{"micrometers", "length", "0.000001", "", "um µm micrometer micrometre micron microns"},
	{"miles", "length", "1609.344", "", "mi mile"},
	{"yards", "length", "0.9144", "", "yd yds yard"},
	{"feet", "length", "0.3048", "", "ft foot '"},
	{"inches", "length", "0.0254", "", "in inch \""},
	{"nautical miles", "length", "1852", "", "nmi nautical_mile"},
	{"light-years", "length", "9460730472580800", "", "ly light-year light_year light_years lightyear lightyears"},

	{"kilograms", "mass", "1", "", "kg kgs kilo kilos kilogram"},
	{"grams", "mass", "0.001", "", "g gram gramme grammes"},
	{"milligrams", "mass", "0.000001", "", "mg milligram"},
	{"tonnes", "mass", "1000", "", "t tonne metric_ton metric_tons"},
	{"pounds", "mass", "0.45359237", "", "lb lbs pound"},
	{"ounces", "mass", "0.028349523125", "", "oz ounce"},
	{"stone", "mass", "6.35029318", "", "st stones"},
	{"US tons", "mass", "907.18474", "", "ton tons short_ton short_tons us_ton us_tons"},

	{"liters", "volume", "1", "", "l liter litre litres"},
	{"milliliters", "volume", "0.001", "", "ml milliliter millilitre millilitres cc"},
	{"cubic meters", "volume", "1000", "", "m3 m^3 cubic_meter cubic_metre cubic_metres"},
	{"US gallons", "volume", "3.785411784", "", "gal gallon gallons us_gallon"},
	{"US quarts", "volume", "0.946352946", "", "qt quart quarts"},
	{"US pints", "volume", "0.473176473", "", "pt pint pints us_pint"},
	{"US cups", "volume", "0.2365882365", "", "cup cups"},
	{"US fluid ounces", "volume", "0.0295735295625", "", "floz fl_oz fluid_ounce fluid_ounces"},
	{"tablespoons", "volume", "0.01478676478125", "", "tbsp tablespoon"},
	{"teaspoons", "volume", "0.00492892159375", "", "tsp teaspoon"},
	{"imperial gallons", "volume", "4.54609", "", "imperial_gallon uk_gallon uk_gallons"},
	{"imperial pints", "volume", "0.56826125", "", "imperial_pint uk_pint uk_pints"},
	{"oil barrels", "volume", "158.987294928", "", "bbl barrel barrels oil_barrel"},

	{"°C", "temperature", "1", "273.15", "c °c celsius centigrade degrees_celsius degree_celsius degrees_c degrees_centigrade"},
	{"°F", "temperature", "5/9", "459.67*5/9", "f °f fahrenheit degrees_fahrenheit degree_fahrenheit degrees_f"},
	{"K", "temperature", "1", "0", "k kelvin kelvins degrees_kelvin"},

	{"square meters", "area", "1", "", "m2 m^2 sqm square_meter square_metre square_metres sq_m"},
	{"square kilometers", "area", "1000000", "", "km2 km^2 square_kilometer square_kilometre square_kilometres sq_km"},
	{"square centimeters", "area", "0.0001", "", "cm2 cm^2 square_centimeter square_centimetre square_centimetres sq_cm"},
	{"hectares", "area", "10000", "", "ha hectare"},
	{"acres", "area", "4046.8564224", "", "acre ac"},
	{"square feet", "area", "0.09290304", "", "ft2 ft^2 sqft square_foot sq_ft"},
	{"square inches", "area", "0.00064516", "", "in2 in^2 square_inch sq_in"},
	{"square yards", "area", "0.83612736", "", "yd2 yd^2 square_yard sq_yd"},
	{"square miles", "area", "2589988.110336", "", "mi2 mi^2 square_mile sq_mi"},

	{"m/s", "speed", "1", "", "mps meters_per_second metres_per_second meter_per_second"},
	{"km/h", "speed", "5/18", "", "kph kmh kmph kilometers_per_hour kilometres_per_hour kilometer_per_hour"},
	{"mph", "speed", "0.44704", "", "mi/h miles_per_hour mile_per_hour"},
	{"knots", "speed", "463/900", "", "knot kn kt kts nautical_miles_per_hour"},
	{"ft/s", "speed", "0.3048", "", "fps feet_per_second foot_per_second"},

	{"bytes", "data", "8", "", "byte b"},
	{"bits", "data", "1", "", "bit"},
	{"kilobytes", "data", "8000", "", "kb kilobyte"},
	{"megabytes", "data", "8000000", "", "mb megabyte megs"},
	{"gigabytes", "data", "8000000000", "", "gb gigabyte gigs"},
	{"terabytes", "data", "8000000000000", "", "tb terabyte"},
	{"petabytes", "data", "8000000000000000", "", "pb petabyte"},
	{"kibibytes", "data", "8192", "", "kib kibibyte"},
	{"mebibytes", "data", "8388608", "", "mib mebibyte"},
	{"gibibytes", "data", "8589934592", "", "gib gibibyte"},
	{"tebibytes", "data", "8796093022208", "", "tib tebibyte"},
	{"kilobits", "data", "1000", "", "kbit kilobit"},
	{"megabits", "data", "1000000", "", "mbit megabit"},
	{"gigabits", "data", "1000000000", "", "gbit gigabit"},

	{"seconds", "time", "1", "", "s sec secs second"},
	{"milliseconds", "time", "0.001", "", "ms millisecond"},
	{"minutes", "time", "60", "", "min mins minute"},
	{"hours", "time", "3600", "", "h hr hrs hour"},
	{"days", "time", "86400", "", "d day"},
	{"weeks", "time", "604800", "", "wk week"},
	{years, "time", "31536000", "", "yr yrs year"},
}

const years = "years"

// unitOf finds a unit by any of its names.
func unitOf(name string) (unit, bool) {
	name = strings.ReplaceAll(strings.TrimSuffix(strings.TrimSpace(name), "."), " ", "_")
	if name == "" {
		return unit{}, false
	}
	for _, u := range units {
		if strings.ToLower(strings.ReplaceAll(u.name, " ", "_")) == name {
			return u, true
		}
		for also := range strings.FieldsSeq(u.also) {
			if also == name {
				return u, true
			}
		}
	}
	return unit{}, false
}

// fraction is a factor or an offset of the table: products and quotients of decimals.
func fraction(text string) *big.Rat {
	if text == "" {
		return new(big.Rat)
	}
	v, err := parse(text)
	if err != nil {
		return new(big.Rat) // a test reads every entry
	}
	return v.x
}

func (u unit) toBase(x *big.Rat) *big.Rat {
	base := new(big.Rat).Mul(x, fraction(u.factor))
	return base.Add(base, fraction(u.offset))
}

func (u unit) fromBase(x *big.Rat) *big.Rat {
	x = new(big.Rat).Sub(x, fraction(u.offset))
	return x.Quo(x, fraction(u.factor))
}

// quantity is some amount, as it was said: "5 ft 11 in" has two parts.
type quantity struct {
	base *big.Rat
	unit unit
	said string
}

var (
	conversion = regexp.MustCompile(`^(?:convert |change |express |turn |translate |conversion of |conversion from )`)
	howMany    = regexp.MustCompile(`^(?:how many|how much|number of) (.+?)(?: (?:are|is|do you get|go))?(?: there)? (?:in|into|per|make|make up|equal|equals|for) (.+)$`)
	amount     = regexp.MustCompile(`^(-?[0-9][0-9.,]*|-?\.[0-9]+|an?|one|half an?)\s*(.*)$`)
	oneWord    = map[string]string{"a": "1", "an": "1", "one": "1", "half a": "0.5", "half an": "0.5"}
	betweens   = []string{" into ", " to ", " as ", " in ", " = "}
	// bitOrByte are the symbols whose case decides between bits and bytes; mb and MB are
	// taken for megabytes by everybody, Mb is not.
	bitOrByte = regexp.MustCompile(`(?:^|[\s\d])(?:[KMGTP]b|b)(?:$|[\s?.!,])`)
)

var errBitOrByte = confusion("a small b may be bits or bytes: write it out, as in megabits")

// convert answers as the unit converter.
func convert(in input) (answer, error) {
	if in.text("from") != "" {
		return convertFields(in)
	}
	text, err := in.question()
	if err != nil {
		return answer{}, err
	}
	if bitOrByte.MatchString(text) {
		return answer{}, errBitOrByte
	}
	asked := bare(plain(text))
	if m := howMany.FindStringSubmatch(asked); m != nil {
		if to, ok := unitOf(m[1]); ok {
			if q, err := quantityOf(m[2]); err == nil {
				return converted(q, to)
			}
		}
	}
	rest := conversion.ReplaceAllString(asked, "")
	for _, between := range betweens {
		for at := strings.LastIndex(rest, between); at > 0; at = strings.LastIndex(rest[:at], between) {
			to, known := unitOf(strings.TrimPrefix(rest[at+len(between):], "how many "))
			q, err := quantityOf(rest[:at])
			if known && err == nil {
				return converted(q, to)
			}
		}
	}
	return answer{}, confused("I convert quantities, as in \"10 miles to km\" or \"how many grams are in 3 pounds\"")
}

func convertFields(in input) (answer, error) {
	if bitOrByte.MatchString(in.text("from")) || bitOrByte.MatchString(in.text("to")) {
		return answer{}, errBitOrByte
	}
	q, err := quantityOf(in.number("value") + " " + plain(in.text("from")))
	if err != nil {
		return answer{}, err
	}
	to, ok := unitOf(plain(in.text("to")))
	if !ok {
		return answer{}, confused("I do not know the unit %q", short(in.text("to")))
	}
	return converted(q, to)
}

// quantityOf reads "10 miles", "a mile", or "5 ft 11 in".
func quantityOf(text string) (quantity, error) {
	q := quantity{base: new(big.Rat)}
	var said []string
	for rest := strings.TrimSpace(text); rest != ""; {
		m := amount.FindStringSubmatch(rest)
		if m == nil || len(said) == 3 {
			return q, confused("I do not understand %q", short(rest))
		}
		digits, negative := strings.CutPrefix(m[1], "-")
		if word, ok := oneWord[digits]; ok {
			digits = word
		}
		x, ok := parseNumber(digits)
		if !ok {
			return q, confused("%q is no number that I can read", short(m[1]))
		}
		if negative {
			x.Neg(x)
		}
		name := m[2]
		rest = ""
		if i := strings.IndexAny(name, "0123456789"); i > 0 && (name[i-1] == ' ' || name[i-1] == '\'') {
			name, rest = name[:i], name[i:]
		}
		u, ok := unitOf(strings.TrimSuffix(strings.TrimSpace(name), " and"))
		if (negative || q.base.Sign() < 0) && (rest != "" || said != nil) {
			return q, confused("only a single quantity may be negative")
		}
		if !ok || q.unit.name != "" && (u.dimension != q.unit.dimension || u.offset != "") {
			return q, confused("I do not know the unit %q", short(strings.TrimSpace(name)))
		}
		q.unit = u
		q.base.Add(q.base, u.toBase(x))
		number, _ := show(x)
		said = append(said, number+" "+u.name)
	}
	if said == nil {
		return q, confused("an amount is missing")
	}
	q.said = strings.Join(said, " ")
	return q, nil
}

func converted(q quantity, to unit) (answer, error) {
	if q.unit.dimension != to.dimension {
		return answer{}, confused("%s are a %s, %s are a %s: one does not become the other", q.unit.name, q.unit.dimension, to.name, to.dimension)
	}
	if q.unit.dimension == "temperature" && q.base.Sign() < 0 {
		return answer{}, confused("nothing is colder than 0 K")
	}
	x, err := bounded(to.fromBase(q.base))
	if err != nil {
		return answer{}, err
	}
	number, exact := show(x)
	reply := fmt.Sprintf("%s = %s %s", q.said, number, to.name)
	if !exact {
		reply = fmt.Sprintf("%s ≈ %s %s (rounded to %d significant digits)", q.said, number, to.name, significant)
	}
	if q.unit.name == years || to.name == years {
		reply += ", for a year of 365 days"
	}
	return answer{reply, map[string]any{"result": number, "unit": to.name, "exact": exact}}, nil
}
