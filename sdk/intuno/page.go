package intuno

import (
	"iter"
	"net/url"
	"strconv"
	"time"

	"github.com/IntunoAI/intuno-go/api"
)

// Page is a part of a list. The zero value is the first page of the size that the
// server chooses.
type Page struct {
	Limit  int // items; 0: the server's default
	Offset int // items before the first one
}

func (p Page) query() url.Values {
	q := url.Values{}
	number(q, "limit", p.Limit)
	number(q, "offset", p.Offset)
	return q
}

// number, text and moment add what is not zero.
func number(q url.Values, name string, n int) {
	if n != 0 {
		q.Set(name, strconv.Itoa(n))
	}
}

func text(q url.Values, name, s string) {
	if s != "" {
		q.Set(name, s)
	}
}

func moment(q url.Values, name string, t time.Time) {
	if !t.IsZero() {
		q.Set(name, api.At(t).String())
	}
}

// pages walks a list page by page. What is added or removed meanwhile may shift an item
// over the border of a page, so that it comes twice or not at all. An error ends the
// walk.
func pages[T any](p Page, most int, fetch func(Page) ([]T, error)) iter.Seq2[T, error] {
	if p.Limit == 0 {
		p.Limit = most
	}
	return func(yield func(T, error) bool) {
		for p := p; ; p.Offset += p.Limit {
			list, err := fetch(p)
			if err != nil {
				var nothing T
				yield(nothing, err)
				return
			}
			for _, item := range list {
				if !yield(item, nil) {
					return
				}
			}
			if len(list) < p.Limit {
				return
			}
		}
	}
}

// follow walks a list whose next page begins where the last item was: fetch returns the
// page behind mark. Such a page may be short; an empty one is the end.
func follow[T any](mark string, fetch func(mark string) (page []T, next string, err error)) iter.Seq2[T, error] {
	return func(yield func(T, error) bool) {
		for mark := mark; ; {
			page, next, err := fetch(mark)
			if err != nil {
				var nothing T
				yield(nothing, err)
				return
			}
			for _, item := range page {
				if !yield(item, nil) {
					return
				}
			}
			if len(page) == 0 || next == mark {
				return
			}
			mark = next
		}
	}
}
