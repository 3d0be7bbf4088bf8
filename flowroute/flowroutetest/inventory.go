package flowroutetest

// DefaultOwned returns the numbers a Simulator's account has by default.
func DefaultOwned() []string { panic("todo") }

// DefaultInventory returns the numbers for sale by default.
func DefaultInventory() []ForSale { panic("todo") }
