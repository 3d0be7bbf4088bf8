package config

import (
	"fmt"
	"strconv"
	"strings"
)

// Brake says when a campaign pauses by itself: when Percent of its last Window
// messages failed.
type Brake struct {
	Percent, Window int
}

// Bounds of a brake: below ten messages a share says nothing.
const (
	minBrakeWindow = 10
	maxBrakeWindow = 1_000_000
)

// EnvDecode is for go-envconfig.
func (b *Brake) EnvDecode(text string) error {
	share, last, _ := strings.Cut(text, "%/")
	percent, errPercent := strconv.ParseUint(share, 10, 8)
	window, errWindow := strconv.ParseUint(last, 10, 32)
	if errPercent != nil || errWindow != nil || percent < 1 || percent > 100 ||
		window < minBrakeWindow || window > maxBrakeWindow {
		return broken(fmt.Sprintf("must be a share of failures and over how many messages, such as 5%%/1000 (1%% to 100%%, %d to %d)",
			minBrakeWindow, maxBrakeWindow))
	}
	*b = Brake{Percent: int(percent), Window: int(window)}
	return nil
}

func (b Brake) String() string { return fmt.Sprintf("%d%%/%d", b.Percent, b.Window) }
