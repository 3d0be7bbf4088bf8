package reconcile

import (
	"cmp"
	"slices"

	"github.com/flowroute-worker/flowroute-worker/flowroute"
)

// priceKey is a price per segment of a kind; odd: it is not whole nanodollars.
type priceKey struct {
	kind  uint8
	price flowroute.Money
	odd   bool
}

// price of a record's segment, as Flowroute's table counts them.
func (h *heldRecord) price() priceKey {
	segments := flowroute.Money(max(h.segments, 1))
	return priceKey{h.kind, h.money / segments, h.money%segments != 0}
}

const (
	// A price that so many percent of the records of a kind have is usual for one
	// carrier or another,
	usualPercent = 1
	// when at least so many have it;
	usualLeast = 10
	// but one that is the main price for another number of segments is taken for that,
	// unless so many have it.
	multiplePercent = 20
)

// mainPrice is what most records of a kind were charged for a segment; 0: nothing was.
func (n *run) mainPrice(kind uint8) (price flowroute.Money, all int64) {
	most := int64(0)
	for k, count := range n.prices {
		if k.kind != kind || k.price == 0 {
			continue
		}
		all += count
		if !k.odd && (count > most || count == most && k.price < price) {
			price, most = k.price, count
		}
	}
	return price, all
}

// judgePrice says what is wrong with a price, by those of all records of the window. A record
// that costs nothing yet is left alone, and one without its text.
func (n *run) judgePrice(h heldRecord) uint8 {
	if h.charged != 0 && h.segments != 0 && h.charged != h.segments {
		return bitSegments
	}
	if h.money == 0 || h.segments == 0 {
		return 0
	}
	k := h.price()
	if !n.unusual(k) {
		return 0
	}
	if main := n.mains.price[h.kind]; h.charged == 0 && main > 0 && h.money%main == 0 {
		return bitSegments
	}
	return bitPrice
}

// unusual reports whether a price is one that differs.
func (n *run) unusual(k priceKey) bool {
	main, all, count := n.mains.price[k.kind], n.mains.all[k.kind], n.prices[k]
	switch {
	case k.price == 0 && !k.odd || k.price == main && !k.odd:
		return false
	case main > 0 && (k.odd || k.price%main == 0 || main%k.price == 0):
		return count*100 <= all*multiplePercent
	}
	return count < usualLeast || count*100 <= all*usualPercent
}

// weigh works out what is usual, of all records of the window.
func (n *run) weigh() {
	for k := range kinds {
		n.mains.price[k], n.mains.all[k] = n.mainPrice(uint8(k))
	}
}

const (
	mostPrices      = 30     // of a report
	mostKnownPrices = 10_000 // others differ
)

// listPrices are the prices, the most usual of a kind first.
func (n *run) listPrices() []Price {
	var list []Price
	for k, count := range n.prices {
		list = append(list, Price{Kind: kinds[k.kind], Price: k.price, Records: count, Usual: !n.unusual(k)})
	}
	slices.SortFunc(list, func(a, b Price) int {
		return cmp.Or(cmp.Compare(a.Kind, b.Kind), cmp.Compare(b.Records, a.Records), cmp.Compare(a.Price, b.Price))
	})
	return list[:min(len(list), mostPrices)]
}

// mains are the main price of each kind, and how many records of it have any.
type mains struct {
	price [len(kinds)]flowroute.Money
	all   [len(kinds)]int64
}
