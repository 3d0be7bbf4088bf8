//go:build !unix

package childproc

import (
	"errors"
	"syscall"
)

func attributes() *syscall.SysProcAttr { return nil }

// Terminate asks the process to end, which takes the signals of a Unix.
func (p *Process) Terminate() error { return errors.ErrUnsupported }

// Freeze does nothing here: it takes the signals of a Unix.
func (p *Process) Freeze() bool { return false }

// Thaw does nothing here.
func (p *Process) Thaw() bool { return false }

// Killed says that it ended otherwise than in order. It is false before the process is
// gone.
func (p *Process) Killed() bool { return p.Over() && !p.cmd.ProcessState.Success() }
