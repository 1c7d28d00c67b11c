package a2a

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"net/url"
	"strconv"
	"strings"
	"unicode/utf8"

	"golang.org/x/net/idna"

	"github.com/IntunoAI/intuno-go/internal/fault"
	"github.com/IntunoAI/intuno-go/internal/wisdom/registry"
)

const (
	maxCard = 256 << 10 // bytes
	maxURL  = 2048      // characters
)

// wellKnown is where a card may be below a base URL, in the order of trying.
var wellKnown = []string{"/.well-known/agent-card.json", "/.well-known/agent.json", "/agent.json", "/a2a/agent-card"}

// places are the URLs at which the card of rawURL is looked for, in order (contract
// §8.2). A query belongs to each of them.
func places(rawURL string) []string {
	path, query := cutQuery(rawURL)
	var list []string
	if strings.HasSuffix(path, ".json") || strings.HasSuffix(path, "/agent-card") {
		list = append(list, rawURL)
	}
	base := strings.TrimRight(path, "/")
	for _, suffix := range wellKnown {
		if place := base + suffix + query; utf8.RuneCountInString(place) <= maxURL {
			list = append(list, place)
		}
	}
	return list
}

// placesAgain are the places of a card that was found at cardURL before: there, then
// wherever else its server may have moved it.
func placesAgain(cardURL string) []string {
	path, query := cutQuery(cardURL)
	list := []string{cardURL}
	for _, suffix := range wellKnown {
		if base, ok := strings.CutSuffix(path, suffix); ok {
			for _, place := range places(base + query) {
				if place != cardURL {
					list = append(list, place)
				}
			}
			break
		}
	}
	return list
}

// cutQuery splits a URL before its question mark.
func cutQuery(rawURL string) (path, query string) {
	if i := strings.IndexByte(rawURL, '?'); i >= 0 {
		return rawURL[:i], rawURL[i:]
	}
	return rawURL, ""
}

// identity is the one spelling of the URL at which a card was found: by it a user's
// second import of a card finds the first. Scheme and host have no case, an address has
// one form, and a default port, the dot at the end of a host and an empty query say
// nothing. In the path and the query only the writing of bytes is made one.
func identity(found string) string {
	u, err := url.Parse(found)
	if err != nil {
		return found // not of a URL that was fetched
	}
	host := strings.TrimSuffix(strings.ToLower(u.Hostname()), ".")
	if ascii, err := idna.Lookup.ToASCII(host); err == nil {
		host = ascii
	}
	if addr, err := netip.ParseAddr(host); err == nil {
		host = addr.String()
	}
	port := u.Port()
	if u.Scheme == "http" && port == "80" || u.Scheme == "https" && port == "443" {
		port = ""
	}
	switch {
	case port != "":
		host = net.JoinHostPort(host, port)
	case strings.Contains(host, ":"):
		host = "[" + host + "]"
	}
	path, query := cutQuery(found)
	_, rest, _ := strings.Cut(path, "//")
	_, rest, _ = strings.Cut(rest, "/")
	return u.Scheme + "://" + host + "/" + oneWriting(rest) + oneWriting(strings.TrimRight(query, "?"))
}

// oneWriting percent-encodes what is not ASCII, and writes percent-encodings in upper
// case, as RFC 3986 §6.2.2 asks; those of unreserved characters are undone, but for the dot,
// which might become a segment that means something.
func oneWriting(s string) string {
	const unreserved = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_~"
	var b strings.Builder
	for i := 0; i < len(s); i++ {
		c := s[i]
		if c == '%' && i+2 < len(s) {
			if n, err := strconv.ParseUint(s[i+1:i+3], 16, 8); err == nil {
				if strings.IndexByte(unreserved, byte(n)) >= 0 {
					b.WriteByte(byte(n))
				} else {
					fmt.Fprintf(&b, "%%%02X", n)
				}
				i += 2
				continue
			}
		}
		if c >= utf8.RuneSelf {
			fmt.Fprintf(&b, "%%%02X", c)
		} else {
			b.WriteByte(c)
		}
	}
	return b.String()
}

// found is a card and where it was.
type found struct {
	url  string
	text []byte // a JSON object
	card card
}

// miss is why no card was found; of several reasons the largest is told.
type miss uint8

const (
	missAnswer miss = iota
	missStatus
	missContent
	missSize
	missTime
	missBatch
)

// missTexts say nothing that would map a network: not who refused a connection, nor
// what answered instead of a card.
var missTexts = [...]string{
	missAnswer:  "nothing answered",
	missStatus:  "no answer had the status 200 (redirects are not followed)",
	missContent: "what answered was not a JSON object with a name or skills",
	missSize:    fmt.Sprintf("an answer was larger than %d bytes", maxCard),
	missTime:    fmt.Sprintf("there was none within %g seconds", fetchTime.Seconds()),
	missBatch:   fmt.Sprintf("the %g seconds of the batch were over", batchTime.Seconds()),
}

func notFound(m miss) *fault.Error {
	return fault.New(fault.BadRequest, "card_not_found", "no agent card was found at the URL or at the usual places below it: %s", missTexts[m])
}

// read returns the first card of the places and the agent that it describes, 10 seconds
// later at most: looking names up is part of it. given is the agent's endpoint if the
// card names none.
func (s *Service) read(ctx context.Context, rawURL string, places []string, given string) (found, registry.Imported, error) {
	within, cancel := context.WithTimeout(ctx, fetchTime)
	defer cancel()
	var i registry.Imported
	f, err := s.find(within, rawURL, places)
	if err == nil {
		i, err = s.imported(within, f, given)
	}
	if err != nil && fault.As(err) == nil && within.Err() != nil && ctx.Err() == nil {
		err = notFound(missTime)
	}
	return f, i, err
}

// find returns the first card of the places. rawURL is what the user named: if it may
// not be contacted, nothing is.
func (s *Service) find(ctx context.Context, rawURL string, places []string) (found, error) {
	if err := s.c.URLs.Check(ctx, rawURL); err != nil {
		return found{}, fmt.Errorf("check the URL of a card: %w", err)
	}
	why := missAnswer
	for _, place := range places {
		status, text, err := s.c.Fetcher.Fetch(ctx, place, maxCard)
		switch {
		case fault.As(err) != nil:
			return found{}, fmt.Errorf("fetch a card: %w", err) // of every other place too: the host is the same
		case ctx.Err() != nil:
			return found{}, fmt.Errorf("fetch a card: %w", ctx.Err())
		case errors.Is(err, ErrTooLarge):
			why = max(why, missSize)
			continue
		case err != nil:
			continue
		case status != 200:
			why = max(why, missStatus)
			continue
		}
		c, ok, err := readCard(text)
		if err != nil {
			return found{}, err
		}
		if ok {
			return found{place, text, c}, nil
		}
		why = max(why, missContent)
	}
	return found{}, notFound(why)
}
