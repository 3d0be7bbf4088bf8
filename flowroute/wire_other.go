//go:build !linux

package flowroute

import (
	"errors"
	"net"
	"syscall"
	"time"
)

const canTellUnacked = false

// limitUnacked does nothing here: only Linux has TCP_USER_TIMEOUT. A request
// still ends after its timeout, by the reset that closing sends.
func limitUnacked(time.Duration) func(network, address string, raw syscall.RawConn) error {
	return nil
}

func unacked(*net.TCPConn) (int, error) { return 0, errors.ErrUnsupported }
