// Package record is the form in which Redis keeps a job that is not final: its fields,
// all of them texts, as one MessagePack map. Redis' scripts have that built in (cmsgpack).
package record

import (
	"encoding/binary"
	"errors"
	"maps"
	"slices"
)

// The first bytes of MessagePack's maps and texts, by how long they are.
const (
	fixMap, map16                  = 0x80, 0xde
	fixText, text8, text16, text32 = 0xa0, 0xd9, 0xda, 0xdb
)

// ErrMalformed: this is no record, or not all of one.
var ErrMalformed = errors.New("malformed job record")

// Unpack reads the fields of a record. Errors: [ErrMalformed].
func Unpack(b string) (map[string]string, error) {
	n, b, ok := mapHead(b)
	if !ok {
		return nil, ErrMalformed
	}
	fields := make(map[string]string, n)
	for range n {
		var name, value string
		if name, b, ok = text(b); ok {
			value, b, ok = text(b)
		}
		if !ok {
			return nil, ErrMalformed
		}
		fields[name] = value
	}
	if b != "" {
		return nil, ErrMalformed
	}
	return fields, nil
}

func mapHead(b string) (n int, rest string, ok bool) {
	switch {
	case b == "":
	case b[0]&0xf0 == fixMap:
		return int(b[0] & 0x0f), b[1:], true
	case b[0] == map16 && len(b) >= 3:
		return int(b[1])<<8 | int(b[2]), b[3:], true
	}
	return 0, "", false
}

func text(b string) (value, rest string, ok bool) {
	head, size := 1, 0
	switch {
	case b == "":
		return "", "", false
	case b[0]&0xe0 == fixText:
		size = int(b[0] & 0x1f)
	case b[0] == text8 && len(b) >= 2:
		head, size = 2, int(b[1])
	case b[0] == text16 && len(b) >= 3:
		head, size = 3, int(b[1])<<8|int(b[2])
	case b[0] == text32 && len(b) >= 5:
		head, size = 5, int(b[1])<<24|int(b[2])<<16|int(b[3])<<8|int(b[4])
	default:
		return "", "", false
	}
	if len(b)-head < size {
		return "", "", false
	}
	return b[head : head+size], b[head+size:], true
}

// Pack makes a record of fields, at most 65,535.
func Pack(fields map[string]string) []byte {
	b := binary.BigEndian.AppendUint16([]byte{map16}, uint16(len(fields)))
	for _, name := range slices.Sorted(maps.Keys(fields)) {
		b = AppendField(b, name, fields[name])
	}
	return b
}

// AppendField adds a field to what is to become a record.
func AppendField[T ~string | ~[]byte](b []byte, name string, value T) []byte {
	return append(appendHead(append(appendHead(b, len(name)), name...), len(value)), value...)
}

func appendHead(b []byte, size int) []byte {
	switch {
	case size < 32:
		return append(b, byte(fixText|size))
	case size < 1<<8:
		return append(b, text8, byte(size))
	case size < 1<<16:
		return binary.BigEndian.AppendUint16(append(b, text16), uint16(size))
	}
	return binary.BigEndian.AppendUint32(append(b, text32), uint32(size))
}
