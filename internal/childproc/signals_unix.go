//go:build unix

package childproc

import "syscall"

// Terminate asks the process to end, by SIGTERM.
func (p *Process) Terminate() error { return p.cmd.Process.Signal(syscall.SIGTERM) }

// Freeze stops the process where it is, and reports whether it could; Thaw lets it go
// on.
func (p *Process) Freeze() bool { return p.cmd.Process.Signal(syscall.SIGSTOP) == nil }

// Thaw lets a frozen process go on, and reports whether it could.
func (p *Process) Thaw() bool { return p.cmd.Process.Signal(syscall.SIGCONT) == nil }

// Killed says that it was ended by SIGKILL, whoever sent it. It is false before the
// process is gone.
func (p *Process) Killed() bool {
	if !p.Over() {
		return false
	}
	status, ok := p.cmd.ProcessState.Sys().(syscall.WaitStatus)
	return ok && status.Signaled() && status.Signal() == syscall.SIGKILL
}
