package demo

import (
	"fmt"
	"regexp"
	"strconv"
	"strings"
	"time"
	_ "time/tzdata" // zones on machines that have none
)

// places leads from what people say to the zone of the IANA database that they mean. A
// country with several zones is not here, apart from those whose capital nobody doubts.
var places = map[string]string{
	"utc": "UTC", "gmt": "UTC", "zulu": "UTC",
	"london": "Europe/London", "england": "Europe/London", "uk": "Europe/London", "united kingdom": "Europe/London", "edinburgh": "Europe/London", "dublin": "Europe/Dublin", "ireland": "Europe/Dublin",
	"paris": "Europe/Paris", "france": "Europe/Paris", "berlin": "Europe/Berlin", "germany": "Europe/Berlin", "munich": "Europe/Berlin", "hamburg": "Europe/Berlin", "frankfurt": "Europe/Berlin",
	"madrid": "Europe/Madrid", "spain": "Europe/Madrid", "barcelona": "Europe/Madrid", "lisbon": "Europe/Lisbon", "portugal": "Europe/Lisbon", "rome": "Europe/Rome", "italy": "Europe/Rome", "milan": "Europe/Rome",
	"amsterdam": "Europe/Amsterdam", "netherlands": "Europe/Amsterdam", "brussels": "Europe/Brussels", "belgium": "Europe/Brussels", "vienna": "Europe/Vienna", "austria": "Europe/Vienna",
	"zurich": "Europe/Zurich", "geneva": "Europe/Zurich", "switzerland": "Europe/Zurich", "prague": "Europe/Prague", "warsaw": "Europe/Warsaw", "poland": "Europe/Warsaw", "budapest": "Europe/Budapest",
	"copenhagen": "Europe/Copenhagen", "denmark": "Europe/Copenhagen", "stockholm": "Europe/Stockholm", "sweden": "Europe/Stockholm", "oslo": "Europe/Oslo", "norway": "Europe/Oslo",
	"helsinki": "Europe/Helsinki", "finland": "Europe/Helsinki", "athens": "Europe/Athens", "greece": "Europe/Athens", "istanbul": "Europe/Istanbul", "turkey": "Europe/Istanbul",
	"moscow": "Europe/Moscow", "kyiv": "Europe/Kyiv", "kiev": "Europe/Kyiv", "ukraine": "Europe/Kyiv", "bucharest": "Europe/Bucharest", "reykjavik": "Atlantic/Reykjavik", "iceland": "Atlantic/Reykjavik",
	"new york": "America/New_York", "nyc": "America/New_York", "boston": "America/New_York", "washington": "America/New_York", "miami": "America/New_York", "atlanta": "America/New_York", "toronto": "America/Toronto", "montreal": "America/Toronto",
	"chicago": "America/Chicago", "houston": "America/Chicago", "dallas": "America/Chicago", "austin": "America/Chicago", "denver": "America/Denver", "phoenix": "America/Phoenix",
	"los angeles": "America/Los_Angeles", "la": "America/Los_Angeles", "california": "America/Los_Angeles", "san francisco": "America/Los_Angeles", "seattle": "America/Los_Angeles", "las vegas": "America/Los_Angeles", "vancouver": "America/Vancouver",
	"anchorage": "America/Anchorage", "alaska": "America/Anchorage", "honolulu": "Pacific/Honolulu", "hawaii": "Pacific/Honolulu", "mexico city": "America/Mexico_City", "bogota": "America/Bogota", "colombia": "America/Bogota", "lima": "America/Lima", "peru": "America/Lima",
	"santiago": "America/Santiago", "buenos aires": "America/Argentina/Buenos_Aires", "argentina": "America/Argentina/Buenos_Aires", "sao paulo": "America/Sao_Paulo", "são paulo": "America/Sao_Paulo", "rio de janeiro": "America/Sao_Paulo", "caracas": "America/Caracas",
	"cairo": "Africa/Cairo", "egypt": "Africa/Cairo", "lagos": "Africa/Lagos", "nigeria": "Africa/Lagos", "nairobi": "Africa/Nairobi", "kenya": "Africa/Nairobi", "johannesburg": "Africa/Johannesburg", "cape town": "Africa/Johannesburg", "south africa": "Africa/Johannesburg", "casablanca": "Africa/Casablanca", "morocco": "Africa/Casablanca", "accra": "Africa/Accra", "addis ababa": "Africa/Addis_Ababa",
	"dubai": "Asia/Dubai", "abu dhabi": "Asia/Dubai", "riyadh": "Asia/Riyadh", "saudi arabia": "Asia/Riyadh", "tehran": "Asia/Tehran", "iran": "Asia/Tehran", "jerusalem": "Asia/Jerusalem", "tel aviv": "Asia/Jerusalem", "israel": "Asia/Jerusalem", "baghdad": "Asia/Baghdad", "doha": "Asia/Qatar", "qatar": "Asia/Qatar",
	"karachi": "Asia/Karachi", "pakistan": "Asia/Karachi", "delhi": "Asia/Kolkata", "new delhi": "Asia/Kolkata", "mumbai": "Asia/Kolkata", "bangalore": "Asia/Kolkata", "kolkata": "Asia/Kolkata", "chennai": "Asia/Kolkata", "india": "Asia/Kolkata", "kathmandu": "Asia/Kathmandu", "nepal": "Asia/Kathmandu", "dhaka": "Asia/Dhaka", "bangladesh": "Asia/Dhaka", "colombo": "Asia/Colombo",
	"bangkok": "Asia/Bangkok", "thailand": "Asia/Bangkok", "hanoi": "Asia/Bangkok", "vietnam": "Asia/Ho_Chi_Minh", "ho chi minh city": "Asia/Ho_Chi_Minh", "jakarta": "Asia/Jakarta", "singapore": "Asia/Singapore", "kuala lumpur": "Asia/Kuala_Lumpur", "malaysia": "Asia/Kuala_Lumpur", "manila": "Asia/Manila", "philippines": "Asia/Manila",
	"hong kong": "Asia/Hong_Kong", "shanghai": "Asia/Shanghai", "beijing": "Asia/Shanghai", "china": "Asia/Shanghai", "taipei": "Asia/Taipei", "taiwan": "Asia/Taipei", "seoul": "Asia/Seoul", "south korea": "Asia/Seoul", "korea": "Asia/Seoul", "tokyo": "Asia/Tokyo", "osaka": "Asia/Tokyo", "kyoto": "Asia/Tokyo", "japan": "Asia/Tokyo",
	"sydney": "Australia/Sydney", "melbourne": "Australia/Melbourne", "brisbane": "Australia/Brisbane", "perth": "Australia/Perth", "adelaide": "Australia/Adelaide", "auckland": "Pacific/Auckland", "wellington": "Pacific/Auckland", "new zealand": "Pacific/Auckland", "fiji": "Pacific/Fiji",
}

// lands are countries with several zones, and states, which only say more of a city in
// them: its zone begins so.
var lands = map[string]string{"usa": "America/", "us": "America/", "united states": "America/", "canada": "America/", "brazil": "America/", "mexico": "America/", "chile": "America/",
	"australia": "Australia/", "russia": "Europe/Moscow", "indonesia": "Asia/Jakarta",
	"ny": "America/New_York", "dc": "America/New_York", "d.c": "America/New_York", "massachusetts": "America/New_York", "florida": "America/New_York", "ontario": "America/Toronto",
	"illinois": "America/Chicago", "texas": "America/Chicago", "colorado": "America/Denver", "arizona": "America/Phoenix", "ca": "America/Los_Angeles", "washington": "America/Los_Angeles", "nevada": "America/Los_Angeles"}

// zoneName is what a name of the IANA database looks like. Nothing else reaches
// LoadLocation, which may read files.
var zoneName = regexp.MustCompile(`^(?i)(?:africa|america|antarctica|asia|atlantic|australia|europe|indian|pacific|etc)(?:/[a-z0-9_+-]{1,30}){1,2}$`)

// placeOf is what is said of a place without what is said of the time.
func placeOf(text string) string {
	text = strings.TrimPrefix(strings.TrimSpace(text), "the ")
	for _, words := range []string{" right now", " now", " currently", " today", " time", " local"} {
		text = strings.TrimSuffix(text, words)
	}
	return text
}

// zoneOf finds a place.
func zoneOf(place string) (*time.Location, bool) {
	name, known := places[strings.ToLower(place)]
	if city, land, more := strings.Cut(place, ","); !known && more {
		name, known = places[strings.ToLower(strings.TrimSpace(city))]
		land = strings.ToLower(strings.TrimSpace(land))
		if wide := lands[land]; land != "" && places[land] != name && (wide == "" || !strings.HasPrefix(name, wide)) {
			return nil, false // Paris, Texas
		}
	}
	if !known {
		if !zoneName.MatchString(place) {
			return nil, false
		}
		if zone, err := time.LoadLocation(place); err == nil {
			return zone, true
		}
		name = capitals(place)
	}
	zone, err := time.LoadLocation(name)
	return zone, err == nil
}

// capitals writes a zone as the database writes most of them.
func capitals(name string) string {
	out, start := []byte(strings.ToLower(name)), true
	for i, c := range out {
		if start && c >= 'a' && c <= 'z' {
			out[i] = c - 'a' + 'A'
		}
		start = c == '/' || c == '_'
	}
	return string(out)
}

const (
	dayFormat = "Monday, 2 January 2006"
	maxYears  = 10000
)

var (
	isoDay   = regexp.MustCompile(`^(\d{4})-(\d{1,2})-(\d{1,2})$`)
	dayFirst = regexp.MustCompile(`^(\d{1,2})(?:st|nd|rd|th)?\.? (?:of )?([a-z]+)\.?(?:,? (\d{4}))?$`)
	dayLater = regexp.MustCompile(`^([a-z]+)\.? (\d{1,2})(?:st|nd|rd|th)?(?:,? (\d{4}))?$`)

	timeIn   = regexp.MustCompile(`^(?:current |local |exact )?(?:time|hour|date|date and time|time and date|day|clock)(?: is it| is it now| now| right now|it is)?(?: right now| now| currently| today)? (?:in|at|for) (.+)$`)
	whatTime = regexp.MustCompile(`^(?:what|which) (?:time|hour|day|date)(?: is it| it is| is)?(?: right now| now| currently| today)? (?:in|at) (.+)$`)
	nowIn    = regexp.MustCompile(`^(.+?)(?:'s)? (?:local |current )?time(?: right now| now)?$`)
	between  = regexp.MustCompile(`^(?:how many |number of |the )?(days|weeks|time)(?: are| is| were)?(?: there)? (?:between|from) (.+?) (?:and|to|until|till) (.+)$`)
	until    = regexp.MustCompile(`^(?:how many |number of |how )?(days|weeks|long|time)(?: are| is)?(?: there| it)?(?: left)? (?:until|till|to|before) (.+)$`)
	since    = regexp.MustCompile(`^(?:how many |number of |how )?(days|weeks|long)(?: are| is| has)?(?: there| it)?(?: been| passed| gone by)? since (.+)$`)
	weekday  = regexp.MustCompile(`^(?:what |which |on what |on which )?(?:weekday|day of the week|day|week day) (?:is|was|will be|will|does|did|of|for)(?: it)?(?: on)? (.+?)(?: fall on| fall| be| on)?$`)
	addDays  = regexp.MustCompile(`^(?:add |(?:what |which )?(?:date|day) (?:is|was|will be) )?(\d{1,7}) (days?|weeks?|months?|years?) (?:to|after|from) (.+)$`)
	subDays  = regexp.MustCompile(`^(?:subtract |take |(?:what |which )?(?:date|day) (?:is|was|will be) )?(\d{1,7}) (days?|weeks?|months?|years?) (?:before|from|ago from) (.+)$`)
	datePlus = regexp.MustCompile(`^(.+?) (plus|\+|minus|-) (\d{1,7}) (days?|weeks?|months?|years?)$`)
	inDays   = regexp.MustCompile(`^(?:what |which )?(?:date|day)?(?: is it| will it be| is| will be)? ?in (\d{1,7}) (days?|weeks?|months?|years?)$`)
	weekOf   = regexp.MustCompile(`^(?:which |what )?(?:iso )?(?:week number|calendar week|week of the year|week) (?:is|of|for|was)(?: it)?(?: on)? (.+)$`)
	leap     = regexp.MustCompile(`^(?:is |was |will )?(\d{4})(?: be)?(?: a)? leap year$`)
	clockAt  = regexp.MustCompile(`^(?:when it is |when it's |if it is |if it's |when its |if its )?(\d{1,2})(?::(\d{2}))? ?(am|pm|a\.m\.|p\.m\.)? ?(?:o'clock )?(?:in )?(.+?)(?:,? what time is it in|,? what is the time in|,? what time will it be in| in| to) (.+)$`)
)

// almanac answers as the clock and calendar.
func almanac(in input, now time.Time) (answer, error) {
	if place := in.text("timezone"); place != "" {
		return timeAt(place, now)
	}
	text, err := in.question()
	if err != nil {
		return answer{}, err
	}
	text = plain(text)
	asked := bare(text)
	for _, try := range []func(asked string, now time.Time) (answer, error){elsewhere, clockThere, span, shifted, about} {
		for _, words := range []string{asked, strings.TrimSuffix(text, "?")} {
			a, err := try(words, now)
			if c, isConfusion := err.(confusion); err == nil || isConfusion && c != notMine {
				return a, err
			}
		}
	}
	return answer{}, confused("I know times and dates, as in: what time is it in Tokyo; days between 2026-01-01 and 2026-03-01; what weekday is 2026-12-24; add 90 days to 2026-01-15")
}

// notMine says that a question is of another kind.
const notMine = confusion("not a question of this kind")

// elsewhere is the time in a place.
func elsewhere(asked string, now time.Time) (answer, error) {
	for _, form := range []*regexp.Regexp{timeIn, whatTime, nowIn} {
		m := form.FindStringSubmatch(asked)
		if m == nil {
			continue
		}
		if a, err := timeAt(m[1], now); err == nil {
			return a, nil
		} else if form != nowIn && !strings.ContainsAny(m[1], "0123456789") {
			return a, err
		}
	}
	switch asked {
	case "today", "date", "date today", "today's date", "what day is it", "what day is today", "what date is it", "what date is it today", "day today", "current date", "what day is it today", "day of the week today":
		return answer{"Today is " + now.UTC().Format(dayFormat) + " (UTC).", map[string]any{"result": now.UTC().Format(time.DateOnly)}}, nil
	case "time", "time now", "current time", "what time is it", "what time is it now", "time is it", "current date and time":
		return timeAt("utc", now)
	}
	return answer{}, notMine
}

func timeAt(place string, now time.Time) (answer, error) {
	place = placeOf(place)
	zone, ok := zoneOf(place)
	if !ok {
		return answer{}, confused("I do not know what time zone %q is in: name a large city, or a zone such as Asia/Tokyo", short(place))
	}
	there := now.In(zone)
	return answer{fmt.Sprintf("In %s it is %s on %s (%s, UTC%s).", titled(place), there.Format("15:04"), there.Format(dayFormat), zone, there.Format("-07:00")),
		map[string]any{"result": there.Format(time.RFC3339), "timezone": zone.String()}}, nil
}

// titled is a place with capitals.
func titled(place string) string {
	switch place {
	case "utc", "gmt", "uk", "la", "nyc":
		return strings.ToUpper(place)
	}
	if strings.Contains(place, "/") {
		return capitals(place)
	}
	words := strings.Fields(place)
	for i, w := range words {
		if w[0] >= 'a' && w[0] <= 'z' {
			words[i] = strings.ToUpper(w[:1]) + w[1:]
		}
	}
	return strings.Join(words, " ")
}

// clockThere is a time of today in one place, told in another.
func clockThere(asked string, now time.Time) (answer, error) {
	m := clockAt.FindStringSubmatch(asked)
	if m == nil {
		return answer{}, notMine
	}
	m[4], m[5] = placeOf(m[4]), placeOf(m[5])
	from, known := zoneOf(m[4])
	to, also := zoneOf(m[5])
	hour, _ := strconv.Atoi(m[1])
	minute, _ := strconv.Atoi("0" + m[2])
	half := strings.ReplaceAll(m[3], ".", "")
	if !known || !also || m[2] == "" && half == "" {
		return answer{}, notMine
	}
	if half != "" {
		if hour < 1 || hour > 12 {
			return answer{}, confused("%s %s is no time of day", m[1], half)
		}
		hour = hour%12 + map[string]int{"am": 0, "pm": 12}[half]
	}
	if hour > 23 || minute > 59 {
		return answer{}, confused("%d:%02d is no time of day", hour, minute)
	}
	today := now.In(from)
	here := time.Date(today.Year(), today.Month(), today.Day(), hour, minute, 0, 0, from)
	there := here.In(to)
	return answer{fmt.Sprintf("When it is %s in %s, it is %s in %s (on %s).", here.Format("15:04"), titled(m[4]), there.Format("15:04"), titled(m[5]), there.Format(dayFormat)),
		map[string]any{"result": there.Format(time.RFC3339), "timezone": to.String()}}, nil
}

// span is how long it is from one date to another.
func span(asked string, now time.Time) (answer, error) {
	what, from, to := "", "today", "today"
	if m := between.FindStringSubmatch(asked); m != nil {
		what, from, to = m[1], m[2], m[3]
	} else if m := until.FindStringSubmatch(asked); m != nil {
		what, to = m[1], m[2]
	} else if m := since.FindStringSubmatch(asked); m != nil {
		what, from = m[1], m[2]
	} else {
		return answer{}, notMine
	}
	a, b, known := bounds(from, to, now)
	if !known {
		return answer{}, notMine
	}
	days := int((b.Unix() - a.Unix()) / (24 * 60 * 60)) // a Duration ends after 292 years
	text := some(days, "day")
	if what == "weeks" {
		text = some(days/7, "week")
		if days%7 != 0 {
			text += " and " + some(days%7, "day")
		}
	}
	return answer{fmt.Sprintf("From %s to %s it is %s.", a.Format(dayFormat), b.Format(dayFormat), text), map[string]any{"result": days, "days": days}}, nil
}

// bounds are two dates. One without a year is the nearest to the other on the side that
// the words mean: from January to March, since Christmas.
func bounds(from, to string, now time.Time) (a, b time.Time, ok bool) {
	today := midnight(now)
	a, known := dateOf(from, now, onward(today))
	last, also := dateOf(to, now, back(today))
	next, _ := dateOf(to, now, onward(today))
	if !known || !also {
		return a, b, false
	}
	if last.Equal(next) { // a full date, or today
		a, ok = dateOf(from, now, back(last))
		return a, last, ok
	}
	if earlier, ok := dateOf(from, now, back(today)); ok && earlier.Year() == today.Year() {
		a = earlier
	}
	b, ok = dateOf(to, now, onward(a))
	return a, b, ok
}

// shifted is a date so many days, weeks, months or years from another.
func shifted(asked string, now time.Time) (answer, error) {
	n, unit, from, sign := "", "", "today", 1
	if m := inDays.FindStringSubmatch(asked); m != nil {
		n, unit = m[1], m[2]
	} else if m := subDays.FindStringSubmatch(asked); m != nil && (strings.HasPrefix(asked, "subtract") || strings.HasPrefix(asked, "take") || strings.Contains(asked, "before")) {
		n, unit, from, sign = m[1], m[2], m[3], -1
	} else if m := addDays.FindStringSubmatch(asked); m != nil {
		n, unit, from = m[1], m[2], m[3]
	} else if m := datePlus.FindStringSubmatch(asked); m != nil {
		n, unit, from = m[3], m[4], m[1]
		if m[2] == "minus" || m[2] == "-" {
			sign = -1
		}
	} else {
		return answer{}, notMine
	}
	start, ok := dateOf(strings.TrimPrefix(from, "date "), now, onward(midnight(now)))
	if !ok {
		return answer{}, notMine
	}
	count, _ := strconv.Atoi(n)
	if count > maxYears*366 {
		return answer{}, confused("that is too far away for me")
	}
	unit = strings.TrimSuffix(unit, "s")
	end := start
	switch count *= sign; unit {
	case "day":
		end = start.AddDate(0, 0, count)
	case "week":
		end = start.AddDate(0, 0, 7*count)
	case "month":
		end = monthsLater(start, count)
	case "year":
		end = monthsLater(start, 12*count)
	}
	if end.Year() < 1 || end.Year() > 9999 {
		return answer{}, confused("that is too far away for me")
	}
	direction := "after"
	if sign < 0 {
		direction = "before"
	}
	return answer{fmt.Sprintf("%s %s %s is %s (%s).", capital(some(count*sign, unit)), direction, start.Format(dayFormat), end.Format(dayFormat), end.Format(time.DateOnly)),
		map[string]any{"result": end.Format(time.DateOnly), "weekday": end.Weekday().String()}}, nil
}

// monthsLater keeps to the end of a shorter month: a month after 31 January is the last day
// of February.
func monthsLater(t time.Time, months int) time.Time {
	first := time.Date(t.Year(), t.Month()+time.Month(months), 1, 0, 0, 0, 0, time.UTC)
	last := first.AddDate(0, 1, -1).Day()
	return first.AddDate(0, 0, min(t.Day(), last)-1)
}

func capital(s string) string { return strings.ToUpper(s[:1]) + s[1:] }

// about is what there is to know of one date.
func about(asked string, now time.Time) (answer, error) {
	if m := leap.FindStringSubmatch(asked); m != nil {
		year, _ := strconv.Atoi(m[1])
		is := time.Date(year, time.December, 31, 0, 0, 0, 0, time.UTC).YearDay() == 366
		not := map[bool]string{true: "", false: "not "}[is]
		return answer{fmt.Sprintf("%d is %sa leap year.", year, not), map[string]any{"result": is}}, nil
	}
	if m := weekOf.FindStringSubmatch(asked); m != nil {
		if day, ok := dateOf(m[1], now, onward(midnight(now))); ok {
			year, week := day.ISOWeek()
			return answer{fmt.Sprintf("%s is in week %d of %d (ISO 8601).", day.Format(dayFormat), week, year), map[string]any{"result": week}}, nil
		}
	}
	text, where := asked, onward(midnight(now))
	if strings.Contains(asked, " was ") {
		where = back(midnight(now))
	}
	if m := weekday.FindStringSubmatch(asked); m != nil {
		text = m[1]
	}
	day, ok := dateOf(text, now, where)
	if !ok {
		return answer{}, notMine
	}
	verb := "is"
	if day.Before(midnight(now)) {
		verb = "was"
	}
	return answer{fmt.Sprintf("%s %s a %s.", day.Format("2 January 2006"), verb, day.Weekday()), map[string]any{"result": day.Weekday().String(), "date": day.Format(time.DateOnly)}}, nil
}

func midnight(now time.Time) time.Time {
	y, m, d := now.UTC().Date()
	return time.Date(y, m, d, 0, 0, 0, 0, time.UTC)
}

// side is where a date without a year is looked for: the first from a day on, or the
// last up to it.
type side struct {
	of   time.Time
	step int // of years
}

func onward(day time.Time) side { return side{day, 1} }

func back(day time.Time) side { return side{day, -1} }

// dateOf reads a date; one without a year is that of the side.
func dateOf(text string, now time.Time, where side) (time.Time, bool) {
	text = strings.TrimPrefix(strings.TrimSuffix(strings.TrimSpace(text), "."), "the ")
	switch today := midnight(now); text {
	case "today", "now":
		return today, true
	case "tomorrow":
		return today.AddDate(0, 0, 1), true
	case "yesterday":
		return today.AddDate(0, 0, -1), true
	case "christmas", "christmas day":
		text = "25 december"
	case "christmas eve":
		text = "24 december"
	case "new year", "new year's day":
		text = "1 january"
	case "new year's eve":
		text = "31 december"
	}
	if m := isoDay.FindStringSubmatch(text); m != nil {
		return dayOf(m[1], m[2], m[3])
	}
	year, month, day := "", "", ""
	if m := dayFirst.FindStringSubmatch(text); m != nil {
		day, month, year = m[1], m[2], m[3]
	} else if m := dayLater.FindStringSubmatch(text); m != nil {
		month, day, year = m[1], m[2], m[3]
	} else {
		return time.Time{}, false
	}
	number := 0
	for m := time.January; m <= time.December; m++ {
		if name := strings.ToLower(m.String()); len(month) >= 3 && strings.HasPrefix(name, month) || month == "sept" && m == time.September {
			number = int(m)
		}
	}
	if year != "" {
		return dayOf(year, strconv.Itoa(number), day)
	}
	for i := range 9 { // 29 February is at most 8 years away
		y := where.of.Year() + i*where.step
		if t, ok := dayOf(strconv.Itoa(y), strconv.Itoa(number), day); ok && t.Compare(where.of)*where.step >= 0 {
			return t, true
		}
	}
	return time.Time{}, false
}

// dayOf is a day that exists.
func dayOf(year, month, day string) (time.Time, bool) {
	y, _ := strconv.Atoi(year)
	m, _ := strconv.Atoi(month)
	d, _ := strconv.Atoi(day)
	t := time.Date(y, time.Month(m), d, 0, 0, 0, 0, time.UTC)
	return t, y >= 1 && m >= 1 && m <= 12 && d >= 1 && t.Day() == d
}
