package torture

import (
	"errors"
	"io"
	"os"
	"os/exec"
	"runtime"
	"time"
)

// process is a child that can be killed and stopped. It ends with this program,
// whatever ends that.
type process struct {
	cmd   *exec.Cmd
	stdin io.WriteCloser
	gone  chan struct{} // closed when it was waited for
	err   error         // how it ended; after gone
}

// spawn starts the command from a thread of its own that lives as long as the
// child: Linux delivers the parent-death signal when the thread that started the
// child ends.
func spawn(cmd *exec.Cmd) (*process, error) {
	p := &process{cmd: cmd, gone: make(chan struct{})}
	cmd.SysProcAttr = childAttributes()
	var err error
	if p.stdin, err = cmd.StdinPipe(); err != nil {
		return nil, err
	}
	started := make(chan error, 1)
	go func() {
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

func (p *process) over() bool {
	select {
	case <-p.gone:
		return true
	default:
		return false
	}
}

// kill ends it without warning, stopped or not; ours says that it was this call.
func (p *process) kill() (ours bool) {
	ours = !p.over()
	_ = p.cmd.Process.Kill() // fails only when it is gone already
	<-p.gone
	return ours
}

// end closes its standard input, which asks it to end, and kills it when it does
// not.
func (p *process) end(patience time.Duration) error {
	_ = p.stdin.Close()
	timer := time.NewTimer(patience)
	defer timer.Stop()
	select {
	case <-p.gone:
		return p.err
	case <-timer.C:
		p.kill()
		return errors.New("it did not end when asked to, and was killed")
	}
}

// logFile opens a child's log for appending; the children write it themselves or
// by way of their standard output.
func logFile(path string) (*os.File, error) {
	return os.OpenFile(path, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
}
