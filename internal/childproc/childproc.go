// Package childproc starts processes that end with this one, whatever ends it: on
// Linux even when it is killed. A Ctrl-C in the terminal reaches this program alone,
// which can then end its children in order.
package childproc

import (
	"errors"
	"os/exec"
	"runtime"
	"time"
)

// ErrKilled says that a process did not end when asked to, and was killed.
var ErrKilled = errors.New("it did not end when asked to, and was killed")

// Process is a child that was started. Its methods are safe for concurrent use.
type Process struct {
	cmd  *exec.Cmd
	gone chan struct{}
	err  error // how it ended; after gone
}

// Start starts the command, which nobody else may start or wait for, and sets its
// SysProcAttr.
func Start(cmd *exec.Cmd) (*Process, error) {
	p := &Process{cmd: cmd, gone: make(chan struct{})}
	cmd.SysProcAttr = attributes()
	started := make(chan error, 1)
	go func() {
		// Linux delivers the parent-death signal when the thread that started the
		// child ends; so that one lives as long as the child.
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		defer close(p.gone)
		err := cmd.Start()
		started <- err
		if err == nil {
			p.err = cmd.Wait()
		}
	}()
	if err := <-started; err != nil {
		return nil, err
	}
	return p, nil
}

// PID is its process id.
func (p *Process) PID() int { return p.cmd.Process.Pid }

// Gone is closed when the process has ended.
func (p *Process) Gone() <-chan struct{} { return p.gone }

// Over says whether it has ended.
func (p *Process) Over() bool {
	select {
	case <-p.gone:
		return true
	default:
		return false
	}
}

// Wait returns when the process has ended, and how, as [exec.Cmd.Wait] tells it.
func (p *Process) Wait() error {
	<-p.gone
	return p.err
}

// Kill ends it without warning, frozen or not, and returns when it is gone; ours says
// that it was still there.
func (p *Process) Kill() (ours bool) {
	ours = !p.Over()
	_ = p.cmd.Process.Kill() // fails only when it is gone already
	<-p.gone
	return ours
}

// End asks it to end, waits for that, and kills it when it is still there after the
// patience or cannot be asked. It returns how it ended: [ErrKilled] when it was killed.
func (p *Process) End(ask func() error, patience time.Duration) error {
	if ask() == nil {
		timer := time.NewTimer(patience)
		defer timer.Stop()
		select {
		case <-p.gone:
		case <-timer.C:
		}
	}
	if !p.Kill() {
		return p.err
	}
	return ErrKilled
}
