package mdr

import (
	"encoding/binary"
	"fmt"
)

// Format 1 of a block had one piece, without tags; its records had words as texts:
//
//	byte 0      1, the format
//	byte 1-4    serial, big-endian
//	byte 5      1: the rest of the records is compressed
//	varint      number of records n
//	16·n bytes  their packed ids
//	rest        n times: length and packed record
//
// A block is written anew in the present format when it changes.

const dictionary1 = "https://www. http:// .com/ reply STOP to unsubscribe Text HELP for help. Msg&data rates may apply. " +
	"Hi Hello Dear Your appointment order confirmation reminder tomorrow today please call us at thank you for " +
	"is ready has been shipped delivered verification code: is your do not share this code with anyone. expires in minutes " +
	" the and you for are with that this have from will not but can our all was one out get " +
	"toll-free smsc reject Message rejected Message expired Permanent Send Error User Opted Out (STOP) No Valid Route " +
	"delivery failure failed Message failed message sent sent delivery success delivered Message delivered to handset " +
	"Destination Address is not text enabled Spam Message queued for delivery " +
	"\x0edeliveredMessage delivered to handset\x02\x04\x02\x0bsmsc submit\x00\x15Message has been sent" +
	"\x04\x10message buffered\xec\x07\x1bMessage accepted by Carrier\x10message buffered\x08longcode"

func decodeFormat1(z *squeezer, stored string) (block, error) {
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
		expanded, err := z.expand(rest, dictionary1)
		if err != nil {
			return block{}, fmt.Errorf("a stored block is broken: %w", err)
		}
		rest = expanded
	}
	rows, err := appendRows(nil, rest, ids)
	if err != nil {
		return block{}, err
	}
	for i, old := range rows {
		r, err := unpackAs(old.packed, old.id, 0, true)
		if err != nil {
			return block{}, err
		}
		rows[i].packed = pack(r, 0)
	}
	k.rows = rows
	return k, nil
}
