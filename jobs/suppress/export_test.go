package suppress

// BucketOf is the bucket of a number.
func BucketOf(number uint64) int { return bucketOf(number) }

// Recode reads a stored record and writes it again.
func Recode(value string) (string, error) {
	r, err := decode(value)
	return r.encode(), err
}

// LookAt makes a page look at so many recipients at most.
func (s *Store) LookAt(recipients int) { s.scanBound = recipients }
