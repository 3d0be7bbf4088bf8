package childproc

import "syscall"

// attributes make the child die with the thread that started it, and keep the
// terminal's Ctrl-C from it.
func attributes() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
}
