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
// Format 2 (the first one is in format1.go):
//
//	byte 0      2, the format
//	byte 1-4    serial, big-endian: one more with each change; put.lua compares it
//	varint      number of records n
//	16·n bytes  their packed ids, which cannot be compressed
//	2·n bytes   a hash of each one's sender and recipient: who looks for a number need
//	            not expand the rest
//	rest        for each 32 records a length, times two, and so many bytes: for each record
//	            its length and the packed record (codec.go); 1 is added to the length when
//	            they are deflated with the dictionary below
type block struct {
	head string // bytes 0 to 4 as stored; empty: there is no such block yet
	rows []row
}

type row struct {
	id     rawID
	packed []byte
}

const (
	blockFormat = 2
	headSize    = 5
	pieceRows   = 32
	// Of the levels that use the dictionary, one that takes under half the time of
	// the default, for 6% larger blocks (BenchmarkPut).
	squeezeLevel = 3
	// A block of more than this is not ours, or broken.
	maxBlock = 256 << 20
)

// dictionary makes small blocks compress: what it holds costs next to nothing. It
// belongs to format 2 and must never change.
const dictionary = "https://www. http:// .com/ verification code: do not share this code with anyone. expires in minutes " +
	"Your appointment order confirmation reminder tomorrow today has been shipped delivered is ready thank you for being " +
	"call us at our about would there which their when what they were been more only other some could time very " +
	" the and you for are with that this have from will not but can all was one out get is to of in it on be as at by or an " +
	"Hi Hello Dear please Reply STOP to unsubscribe Text HELP for help. Msg&data rates may apply."

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

func (z *squeezer) expand(b []byte, dictionary string) ([]byte, error) {
	r := z.readers.Get().(io.ReadCloser)
	defer z.readers.Put(r)
	if err := r.(flate.Resetter).Reset(bytes.NewReader(b), []byte(dictionary)); err != nil {
		return nil, err
	}
	out := bytes.NewBuffer(make([]byte, 0, 3*len(b)+bytes.MinRead))
	_, err := out.ReadFrom(io.LimitReader(r, maxBlock))
	return out.Bytes(), err
}

// encode makes the block's next version.
func (k block) encode(z *squeezer) []byte {
	serial := uint32(1)
	if len(k.head) == headSize {
		serial = binary.BigEndian.Uint32([]byte(k.head[1:])) + 1
	}
	b := make([]byte, 0, headSize+5+100*len(k.rows))
	b = append(b, blockFormat)
	b = binary.BigEndian.AppendUint32(b, serial)
	b = binary.AppendUvarint(b, uint64(len(k.rows)))
	for _, r := range k.rows {
		b = append(b, r.id[:]...)
	}
	for _, r := range k.rows {
		from, to := numbersOf(r.packed)
		b = append(b, from.tag(), to.tag())
	}
	for piece := range slices.Chunk(k.rows, pieceRows) {
		plain := make([]byte, 0, 128*len(piece))
		for _, r := range piece {
			plain = binary.AppendUvarint(plain, uint64(len(r.packed)))
			plain = append(plain, r.packed...)
		}
		var compressed uint64
		if small := z.squeeze(plain); len(small) < len(plain) {
			plain, compressed = small, 1
		}
		b = binary.AppendUvarint(b, uint64(len(plain))<<1|compressed)
		b = append(b, plain...)
	}
	return b
}

func everyRow(string) bool { return true }

// decodeSome reads what encode made: the records of a block whose tags are wanted, and
// perhaps others. "" is an empty block.
func decodeSome(z *squeezer, stored string, wanted func(tags string) bool) (block, error) {
	switch {
	case stored == "":
		return block{}, nil
	case stored[0] == 1:
		return decodeFormat1(z, stored)
	case stored[0] != blockFormat:
		return block{}, ErrNewerVersion
	case len(stored) < headSize+1:
		return block{}, errCut
	}
	k, b := block{head: stored[:headSize]}, stored[headSize:]
	n, size := uvarint(b)
	if size <= 0 || n > uint64(len(b)-size)/18 {
		return block{}, errCut
	}
	ids, tags, rest := b[size:size+16*int(n)], b[size+16*int(n):size+18*int(n)], b[size+18*int(n):]
	for i := 0; i < int(n); i += pieceRows {
		count := min(pieceRows, int(n)-i)
		length, size := uvarint(rest)
		if size <= 0 || length>>1 > uint64(len(rest)-size) {
			return block{}, errCut
		}
		stored := rest[size : size+int(length>>1)]
		rest = rest[size+len(stored):]
		if !wanted(tags[2*i : 2*(i+count)]) {
			continue
		}
		piece := []byte(stored)
		if length&1 != 0 {
			var err error
			if piece, err = z.expand(piece, dictionary); err != nil {
				return block{}, fmt.Errorf("a stored block is broken: %w", err)
			}
		}
		var err error
		if k.rows, err = appendRows(k.rows, piece, []byte(ids[16*i:16*(i+count)])); err != nil {
			return block{}, err
		}
	}
	return k, nil
}

// uvarint is [binary.Uvarint] of a text.
func uvarint(s string) (uint64, int) {
	return binary.Uvarint([]byte(s[:min(len(s), binary.MaxVarintLen64)]))
}

// appendRows reads packed records and their lengths.
func appendRows(rows []row, b, ids []byte) ([]row, error) {
	rows = slices.Grow(rows, len(ids)/16)
	for ; len(ids) > 0; ids = ids[16:] {
		length, size := binary.Uvarint(b)
		if size <= 0 || length > uint64(len(b)-size) {
			return nil, errCut
		}
		rows = append(rows, row{id: rawID(ids), packed: b[size : size+int(length)]})
		b = b[size+int(length):]
	}
	return rows, nil
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
