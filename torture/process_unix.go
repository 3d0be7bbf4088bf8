//go:build unix && !linux

package torture

import "syscall"

// childAttributes keep the terminal's Ctrl-C from the child. Where there is no
// parent-death signal, a program that is killed leaves its children behind.
func childAttributes() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Setpgid: true}
}
