package resolve

import (
	"slices"
	"time"

	"github.com/flowroute-worker/flowroute-worker/jobs/ledger"
)

// Records of MMS say nothing of the text: what is not certain of them goes to a person.

// may reports whether the record can be of the message, by its time.
func (q question) may(m member, r record) bool {
	if !r.mms {
		return !r.at.Before(m.first.Add(-q.read.margin))
	}
	slack := min(q.read.margin, q.read.slack)
	late := !m.ready.IsZero() && r.at.After(q.over(m).Add(slack))
	return !r.at.Before(m.first.Add(-slack)) && !late
}

// unsure takes MMS records back from messages whose outcome is unknown when another text,
// for which there is none, may be what they are of.
func (q question) unsure(found *match, members []member, mine map[int]record) {
	for again := true; again; {
		again = false
		for i := range members {
			r, has := mine[i]
			another := func(m member) bool { return m.content != members[i].content && q.may(m, r) }
			if !has || turn(members[i]) != turnUnknown || !slices.ContainsFunc(found.left, another) {
				continue
			}
			again = true
			delete(mine, i)
			found.left, found.near = append(found.left, members[i]), append(found.near, r)
			found.claims = slices.DeleteFunc(found.claims, func(c ledger.Claim) bool { return c.ID == members[i].ID })
		}
	}
	if len(found.claims) == 0 {
		found.claims = nil
	}
}

// mmsParts tells which records of MMS may be further ones of a post that has one
// already: Flowroute may break an MMS up, and its records say nothing of the text. They
// prove no other post.
type mmsParts struct {
	beside []time.Time // records that have an owner
	mine   []ownedMMS  // given to a message of this group
}

type ownedMMS struct {
	at, since time.Time // of the record; none of its message is from before
	by        ledger.ID
}

func (p *mmsParts) given(r record, since time.Time, by ledger.ID) {
	if r.mms {
		p.mine = append(p.mine, ownedMMS{r.at, since, by})
	}
}

// of reports whether the record may be such a further one.
func (p *mmsParts) of(r record) bool {
	near := func(at time.Time) bool { return at.Sub(r.at).Abs() <= splitWithin }
	return r.mms && (slices.ContainsFunc(p.beside, near) || slices.ContainsFunc(p.mine, func(o ownedMMS) bool { return near(o.at) }))
}

// take takes such records from those that are free.
func (p *mmsParts) take(free *[]record) (parts []record) {
	*free = slices.DeleteFunc(*free, func(r record) bool {
		part := p.of(r)
		if part {
			parts = append(parts, r)
		}
		return part
	})
	return parts
}

// claims gives them to the messages of this group that they may be of.
func (p *mmsParts) claims(parts []record) (claims []ledger.Claim) {
	for _, r := range parts {
		i := slices.IndexFunc(p.mine, func(o ownedMMS) bool { return o.at.Sub(r.at).Abs() <= splitWithin && !r.at.Before(o.since) })
		if i >= 0 {
			claims = append(claims, ledger.Claim{ID: p.mine[i].by, MDR: r.mdr})
		}
	}
	return claims
}
