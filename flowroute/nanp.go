package flowroute

//go:generate go run gen_nanp.go

// nanpInUse reports whether a North American number of ten digits has an area
// code (NPA) in use, and in it an exchange (NXX). Behind it is the table that
// gen_nanp.go makes from libphonenumber's metadata: for each area code the index
// of a row, in each row a bit for each exchange. A few exchanges are in use in
// part; those are in nanpSplit, by the digit that follows.
func nanpInUse(national uint64) (area, exchange bool) {
	npa, nxx := national/1e7, national/1e4%1e3
	if npa < nanpFirstArea {
		return false, false
	}
	row := int(nanpAreas[npa-nanpFirstArea])
	if row == 0 {
		return false, false
	}
	bits := nanpRows[(row-1)*nanpRowBytes+int(nxx/8)]
	return true, bits>>(nxx%8)&1 == 1 || nanpSplit(national/1e3)
}

const (
	nanpFirstArea = 200
	nanpRowBytes  = 1000 / 8
)
