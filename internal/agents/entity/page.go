package entity

// maxPage is how many bytes of JSON the items of one page may take: the 1 MiB of
// contract §9.1 less a margin.
const maxPage = 1<<20 - 64<<10

// Page counts the bytes of a page of a list. The zero value is an empty page.
type Page struct{ bytes int }

// Take adds an item of that many bytes and reports whether it still belongs to
// the page. The first item always does, so a page is never empty before the end.
func (p *Page) Take(bytes int) bool {
	first := p.bytes == 0
	p.bytes += bytes
	return first || p.bytes <= maxPage
}

// TextBytes is an upper bound of what s takes as a JSON string.
func TextBytes(s string) int {
	n := len(s) + 2
	for i := range len(s) {
		switch c := s[i]; {
		case c < 0x20 || c == 0x7f:
			n += 5 // \u0001
		case c == '"' || c == '\\':
			n++
		}
	}
	return n
}
