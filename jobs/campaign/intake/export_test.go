package intake

// WithEncodingJSON makes a reader leave every row to encoding/json.
func WithEncodingJSON(r *Reader) { r.rows.(*jsonRows).slowly = true }

// IsPlain, Fold: see there.
var (
	IsPlain = isPlain
	Fold    = fold
)
