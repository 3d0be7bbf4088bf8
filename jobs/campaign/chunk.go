package campaign

import (
	"bytes"
	"compress/flate"
	"encoding/binary"
	"errors"
	"fmt"
	"io"

	"github.com/flowroute-worker/flowroute-worker/flowroute"
)

// chunkRows is how many rows rest in one chunk: enough to compress well, few enough to
// be written again while rows come in slowly.
const chunkRows = 512

// chunkVersion is the first byte of a chunk.
const chunkVersion = 1

// row is a recipient and the values of the template's fields.
type row struct {
	to     flowroute.E164
	values [][]byte // nil: none
}

// chunk is a packed row of rows. What is alike lies together, numbers first and then one
// field after the other, which compresses better than row by row. Before it is
// compressed:
//
//	rows, fields (uvarint); the numbers (uvarint each);
//	for each field: the lengths of its values (uvarint each), then the values.
type chunk struct {
	fields  int
	numbers []uint64
	lengths [][]int
	values  [][]byte // of each field, one after the other
}

func newChunk(fields int) *chunk {
	return &chunk{fields: fields, lengths: make([][]int, fields), values: make([][]byte, fields)}
}

func (c *chunk) len() int { return len(c.numbers) }

func (c *chunk) add(r row) {
	c.numbers = append(c.numbers, r.to.Uint64())
	for i := range c.fields {
		c.lengths[i] = append(c.lengths[i], len(r.values[i]))
		c.values[i] = append(c.values[i], r.values[i]...)
	}
}

func (c *chunk) reset() {
	c.numbers = c.numbers[:0]
	for i := range c.fields {
		c.lengths[i], c.values[i] = c.lengths[i][:0], c.values[i][:0]
	}
}

// packer packs chunks.
type packer struct {
	plain   []byte
	packed  bytes.Buffer
	deflate *flate.Writer
}

func newPacker() *packer {
	deflate, err := flate.NewWriter(io.Discard, flate.BestSpeed)
	if err != nil {
		panic(err) // the level is a constant
	}
	return &packer{deflate: deflate}
}

func (p *packer) pack(c *chunk) []byte {
	b := binary.AppendUvarint(p.plain[:0], uint64(c.len()))
	b = binary.AppendUvarint(b, uint64(c.fields))
	for _, n := range c.numbers {
		b = binary.AppendUvarint(b, n)
	}
	for i := range c.fields {
		for _, n := range c.lengths[i] {
			b = binary.AppendUvarint(b, uint64(n))
		}
		b = append(b, c.values[i]...)
	}
	p.plain = b
	p.packed.Reset()
	p.packed.WriteByte(chunkVersion)
	p.deflate.Reset(&p.packed)
	_, _ = p.deflate.Write(b) // to memory
	_ = p.deflate.Close()
	return bytes.Clone(p.packed.Bytes())
}

// ErrNewerVersion: written by a newer version; leave it to that.
var ErrNewerVersion = errors.New("the campaign was written by a newer version")

var errChunk = errors.New("a chunk of recipients cannot be read")

// unpack reads a chunk. The values are parts of one slice.
func unpack(packed []byte) ([]row, error) {
	if len(packed) == 0 {
		return nil, errChunk
	}
	if packed[0] != chunkVersion {
		return nil, ErrNewerVersion
	}
	plain, err := io.ReadAll(flate.NewReader(bytes.NewReader(packed[1:])))
	if err != nil {
		return nil, fmt.Errorf("%w: %w", errChunk, err)
	}
	d := decoder{rest: plain}
	n, fields := d.size(chunkRows), d.size(len(plain))
	rows := make([]row, n)
	all := make([][]byte, n*fields)
	for i := range rows {
		number := d.uvarint()
		if d.bad {
			return nil, errChunk
		}
		if rows[i].to, err = flowroute.E164FromUint64(number); err != nil {
			return nil, fmt.Errorf("%w: %w", errChunk, err)
		}
		rows[i].values = all[i*fields : (i+1)*fields : (i+1)*fields]
	}
	lengths := make([]int, n)
	for f := range fields {
		for i := range lengths {
			lengths[i] = d.size(len(plain))
		}
		for i, size := range lengths {
			rows[i].values[f] = d.take(size)
		}
	}
	if d.bad || len(d.rest) > 0 {
		return nil, errChunk
	}
	return rows, nil
}

// decoder reads what pack wrote; bad after something else.
type decoder struct {
	rest []byte
	bad  bool
}

func (d *decoder) uvarint() uint64 {
	v, n := binary.Uvarint(d.rest)
	if n <= 0 {
		d.bad, d.rest = true, nil
		return 0
	}
	d.rest = d.rest[n:]
	return v
}

func (d *decoder) size(most int) int {
	v := d.uvarint()
	if v > uint64(most) {
		d.bad, d.rest = true, nil
		return 0
	}
	return int(v)
}

// take returns nil for nothing.
func (d *decoder) take(n int) []byte {
	if n > len(d.rest) {
		d.bad, d.rest = true, nil
	}
	if n == 0 || d.bad {
		return nil
	}
	b := d.rest[:n:n]
	d.rest = d.rest[n:]
	return b
}
