//go:build unix

package torture

import "syscall"

// freeze stops the process where it is; thaw lets it go on.
func (p *process) freeze() bool { return p.cmd.Process.Signal(syscall.SIGSTOP) == nil }
func (p *process) thaw() bool   { return p.cmd.Process.Signal(syscall.SIGCONT) == nil }

// killed says that it was ended by SIGKILL. Only after it is gone.
func (p *process) killed() bool {
	status, ok := p.cmd.ProcessState.Sys().(syscall.WaitStatus)
	return ok && status.Signaled() && status.Signal() == syscall.SIGKILL
}
