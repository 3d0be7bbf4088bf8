//go:build !unix

package torture

import "syscall"

func childAttributes() *syscall.SysProcAttr { return nil }

// Stopping a process needs its signals.
func (p *process) freeze() bool { return false }
func (p *process) thaw() bool   { return false }

func (p *process) killed() bool { return p.cmd.ProcessState != nil && !p.cmd.ProcessState.Success() }
