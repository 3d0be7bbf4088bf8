package intake

import (
	"encoding/binary"
	"strings"
	"unicode"
	"unicode/utf8"
)

// isPlain reports whether b is printable ASCII, as nearly all rows are. It may
// say no to one that is, but not yes to one that is not.
func isPlain(b []byte) bool {
	const (
		ones  = 0x0101010101010101
		highs = 0x80 * ones
	)
	for ; len(b) >= 8; b = b[8:] {
		word := binary.LittleEndian.Uint64(b)
		del := word ^ 0x7f*ones // 0 where there is a DEL
		below := (word - 0x20*ones) | (del - ones)
		if (word|below)&highs != 0 {
			return false
		}
	}
	for _, c := range b {
		if c < 0x20 || c > 0x7e {
			return false
		}
	}
	return true
}

// control reports whether a value has what no phone shows and carriers choke on,
// as in the text of a message. It is UTF-8.
func control(value []byte) bool {
	for i, c := range value {
		switch {
		case c < 0x20 && c != '\n' && c != '\r' && c != '\t', c == 0x7f:
			return true
		case c == 0xc2 && i+1 < len(value) && value[i+1] < 0xa0: // U+0080 to U+009F
			return true
		}
	}
	return false
}

// fold makes the names of columns and fields comparable.
func fold(name string) string {
	var b strings.Builder
	gap := false
	for _, r := range strings.TrimSpace(name) {
		if unicode.IsSpace(r) || r == '-' || r == '.' || r == '_' {
			gap = true
			continue
		}
		if gap {
			b.WriteByte('_')
			gap = false
		}
		b.WriteRune(unicode.ToLower(r))
	}
	if gap {
		b.WriteByte('_')
	}
	return b.String()
}

// shown bounds a name that somebody else made up, and takes from it what would
// break a line of a log.
func shown(name string) string {
	const most = 40
	var b strings.Builder
	n := 0
	for _, r := range name {
		if n++; n > most {
			b.WriteRune('…')
			break
		}
		if !unicode.IsPrint(r) {
			r = utf8.RuneError
		}
		b.WriteRune(r)
	}
	return b.String()
}

func shownList(names []string) string {
	const most = 20
	var list []string
	for _, name := range names {
		if len(list) == most {
			list = append(list, "…")
			break
		}
		list = append(list, shown(name))
	}
	return strings.Join(list, ", ")
}

// appendLatin1 adds Windows-1252 to dst as UTF-8; ok is false when there is a
// byte that stands for nothing.
func appendLatin1(dst, value []byte) (utf []byte, ok bool) {
	// The only difference to Latin-1: what has control characters there.
	const from0x80 = "€\uFFFD‚ƒ„…†‡ˆ‰Š‹Œ\uFFFDŽ\uFFFD\uFFFD‘’“”•–—˜™š›œ\uFFFDžŸ"
	for _, c := range value {
		r := rune(c)
		if 0x80 <= c && c < 0xa0 {
			r = nth(from0x80, int(c-0x80))
			if r == utf8.RuneError {
				return dst, false
			}
		}
		dst = utf8.AppendRune(dst, r)
	}
	return dst, true
}

func nth(s string, n int) rune {
	for _, r := range s {
		if n == 0 {
			return r
		}
		n--
	}
	return utf8.RuneError
}
