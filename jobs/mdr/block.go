package mdr

import (
	"bytes"
	"compress/flate"
	"encoding/binary"
	"fmt"
	"io"
	"slices"
	"sync"
	"time"
)

// A block is the string that holds the records of one minute, oldest first.
// Format 1:
//
//	byte 0      1, the format
//	byte 1-4    serial, big-endian: one more with each change; put.lua compares it
//	byte 5      1: the rest of the records is compressed
//	varint      number of records n
//	16·n bytes  their packed ids, which cannot be compressed
//	rest        n times: length and packed record (codec.go), deflated with the
//	            dictionary below when that is shorter
type block struct {
	head string // bytes 0 to 4 as stored; empty: there is no such block yet
	rows []row
}

type row struct {
	id     rawID
	packed []byte
}

const (
	blockFormat = 1
	headSize    = 5
	// Of the levels that use the dictionary, one that takes under half the time of
	// the default, for 6% larger blocks (BenchmarkPut).
	squeezeLevel = 3
	// A block of more than this is not ours, or broken.
	maxBlock = 256 << 20
)

// dictionary makes small blocks compress: what it holds costs next to nothing. It
// belongs to format 1 and must never change.
const dictionary = "https://www. http:// .com/ reply STOP to unsubscribe Text HELP for help. Msg&data rates may apply. " +
	"Hi Hello Dear Your appointment order confirmation reminder tomorrow today please call us at thank you for " +
	"is ready has been shipped delivered verification code: is your do not share this code with anyone. expires in minutes " +
	" the and you for are with that this have from will not but can our all was one out get " +
	"toll-free smsc reject Message rejected Message expired Permanent Send Error User Opted Out (STOP) No Valid Route " +
	"delivery failure failed Message failed message sent sent delivery success delivered Message delivered to handset " +
	"Destination Address is not text enabled Spam Message queued for delivery " +
	"\x0edeliveredMessage delivered to handset\x02\x04\x02\x0bsmsc submit\x00\x15Message has been sent" +
	"\x04\x10message buffered\xec\x07\x1bMessage accepted by Carrier\x10message buffered\x08longcode"

// squeezer deflates and inflates with the dictionary. Its buffers are reused: a
// new flate writer takes a megabyte.
type squeezer struct{ writers, readers sync.Pool }

func newSqueezer() *squeezer {
	z := &squeezer{}
	z.writers.New = func() any {
		w, err := flate.NewWriterDict(io.Discard, squeezeLevel, []byte(dictionary))
		if err != nil {
			panic(err) // only for a level that does not exist
		}
		return w
	}
	z.readers.New = func() any { return flate.NewReaderDict(bytes.NewReader(nil), []byte(dictionary)) }
	return z
}

func (z *squeezer) squeeze(b []byte) []byte {
	w := z.writers.Get().(*flate.Writer)
	defer z.writers.Put(w)
	out := bytes.NewBuffer(make([]byte, 0, len(b)/2+64))
	w.Reset(out)
	_, _ = w.Write(b) // a buffer takes everything
	_ = w.Close()
	return out.Bytes()
}

func (z *squeezer) expand(b []byte) ([]byte, error) {
	r := z.readers.Get().(io.ReadCloser)
	defer z.readers.Put(r)
	if err := r.(flate.Resetter).Reset(bytes.NewReader(b), []byte(dictionary)); err != nil {
		return nil, err
	}
	return io.ReadAll(io.LimitReader(r, maxBlock))
}

// encode makes the block's next version.
func (k block) encode(z *squeezer) []byte {
	serial := uint32(1)
	if len(k.head) == headSize {
		serial = binary.BigEndian.Uint32([]byte(k.head[1:])) + 1
	}
	rest := make([]byte, 0, 128*len(k.rows))
	for _, r := range k.rows {
		rest = binary.AppendUvarint(rest, uint64(len(r.packed)))
		rest = append(rest, r.packed...)
	}
	var compressed byte
	if small := z.squeeze(rest); len(small) < len(rest) {
		rest, compressed = small, 1
	}
	b := make([]byte, 0, headSize+5+16*len(k.rows)+len(rest))
	b = append(b, blockFormat)
	b = binary.BigEndian.AppendUint32(b, serial)
	b = append(b, compressed)
	b = binary.AppendUvarint(b, uint64(len(k.rows)))
	for _, r := range k.rows {
		b = append(b, r.id[:]...)
	}
	return append(b, rest...)
}

// decodeBlock reads what encode made; "" is an empty block.
func decodeBlock(z *squeezer, stored string) (block, error) {
	if stored == "" {
		return block{}, nil
	}
	if stored[0] != blockFormat {
		return block{}, ErrNewerVersion
	}
	if len(stored) < headSize+2 {
		return block{}, errCut
	}
	k := block{head: stored[:headSize]}
	b := []byte(stored[headSize+1:])
	n, size := binary.Uvarint(b)
	if size <= 0 || n > uint64(len(b)-size)/16 {
		return block{}, errCut
	}
	ids, rest := b[size:size+16*int(n)], b[size+16*int(n):]
	if stored[headSize]&1 != 0 {
		expanded, err := z.expand(rest)
		if err != nil {
			return block{}, fmt.Errorf("a stored block is broken: %w", err)
		}
		rest = expanded
	}
	k.rows = make([]row, n)
	for i := range k.rows {
		length, size := binary.Uvarint(rest)
		if size <= 0 || length > uint64(len(rest)-size) {
			return block{}, errCut
		}
		k.rows[i] = row{id: rawID(ids[16*i : 16*i+16]), packed: rest[size : size+int(length)]}
		rest = rest[size+int(length):]
	}
	return k, nil
}

// find is the place of a record in the block, or -1.
func (k block) find(id rawID) int {
	return slices.IndexFunc(k.rows, func(r row) bool { return r.id == id })
}

// sort brings the rows into the order of time.
func (k block) sort(m int64) error {
	type place struct {
		row row
		at  time.Time
	}
	places := make([]place, len(k.rows))
	for i, r := range k.rows {
		at, err := stampOf(r.packed, m)
		if err != nil {
			return err
		}
		places[i] = place{r, at}
	}
	slices.SortFunc(places, func(a, b place) int {
		if sortsBefore(a.at, a.row.id, b.at, b.row.id) {
			return -1
		}
		return 1
	})
	for i, p := range places {
		k.rows[i] = p.row
	}
	return nil
}

// stampOf reads a packed record's time alone.
func stampOf(packed []byte, m int64) (time.Time, error) {
	if len(packed) == 0 {
		return time.Time{}, errCut
	}
	u := unpacker{b: packed[1:]}
	u.uint()
	at := minuteStart(m).Add(u.span())
	return at, u.err
}
