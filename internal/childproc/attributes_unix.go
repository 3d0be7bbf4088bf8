//go:build unix && !linux

package childproc

import "syscall"

// attributes keep the terminal's Ctrl-C from the child. Where there is no parent-death
// signal, a program that is killed leaves its children behind.
func attributes() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Setpgid: true}
}
