package torture

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"

	"github.com/flowroute-worker/flowroute-worker/internal/childproc"
)

// process is this program again, as a child with an order; it ends when its standard
// input is closed.
type process struct {
	*childproc.Process
	stdin io.WriteCloser
}

// child starts this program again with an order, and returns when it says that it is
// ready; ready reads what it says.
func child(argv []string, o order, errs *os.File, ready func(*bufio.Reader) error) (*process, error) {
	cmd := exec.Command(argv[0], argv[1:]...)
	out, err := cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	stdin, err := cmd.StdinPipe()
	if err != nil {
		return nil, err
	}
	cmd.Stderr = errs
	started, err := childproc.Start(cmd)
	if err != nil {
		return nil, err
	}
	p := &process{started, stdin}
	text, err := json.Marshal(o)
	if err == nil {
		_, err = stdin.Write(append(text, '\n'))
	}
	if err == nil && ready != nil {
		err = ready(bufio.NewReader(out))
	}
	if err != nil {
		p.Kill()
		return nil, fmt.Errorf("start child: %w", err)
	}
	return p, nil
}

// logFile opens a child's log for appending; the children write it themselves or
// by way of their standard output.
func logFile(path string) (*os.File, error) {
	return os.OpenFile(path, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
}
