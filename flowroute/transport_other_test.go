//go:build !linux

package flowroute_test

import "net"

const (
	canTellUnacked = false
	swallowed      = 8 << 20
)

func smallReceiveBuffer(*net.ListenConfig) {}
