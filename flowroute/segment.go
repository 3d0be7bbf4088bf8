package flowroute

import "unicode/utf8"

// Encoding is how a text message goes to the carrier.
type Encoding string

const (
	EncodingASCII Encoding = "ascii" // message_encoding 0 of an MDR
	EncodingUCS2  Encoding = "ucs2"  // message_encoding 8
)

// Flowroute's own table, which is not the 153 and 67 of other providers:
// https://developer.flowroute.com/docs/message-length-concatenation, 2025-11.
const (
	asciiSingle  = 160 // characters of a message that fits one segment
	asciiPerPart = 140 // of each segment of a longer one
	ucs2PerPart  = 70  // of each segment, at any length
)

// Segments returns the number of segments that Flowroute bills for a text
// message with this body, and the encoding that makes it so: one character
// beyond ASCII, an emoji or a curly quote, turns the whole message to UCS-2.
//
// UCS-2 is counted in its own unit, 16 bits: what lies beyond the Basic
// Multilingual Plane, as emoji do, takes two. The empty body is 0 segments; it
// exists in an MMS only. A byte that is not UTF-8 counts as the U+FFFD that will
// be sent in its place.
func Segments(body string) (n int, enc Encoding) {
	ascii := 0
	for ascii < len(body) && body[ascii] < utf8.RuneSelf {
		ascii++
	}
	switch {
	case ascii < len(body):
		units := ascii + utf16Units(body[ascii:])
		return ceilDiv(units, ucs2PerPart), EncodingUCS2
	case ascii <= asciiSingle:
		return min(ascii, 1), EncodingASCII
	default:
		return ceilDiv(ascii, asciiPerPart), EncodingASCII
	}
}

func utf16Units(s string) int {
	units := 0
	for _, r := range s {
		units++
		if r > 0xFFFF {
			units++
		}
	}
	return units
}

func ceilDiv(n, d int) int { return (n + d - 1) / d }
