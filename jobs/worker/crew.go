package worker

// crew runs handlers on goroutines that live on. asynq starts a new one for each task,
// whose stack would have to grow, step by step, to what a request needs.
type crew struct {
	work  chan *duty
	ended <-chan struct{} // its members go home
}

// duty is one call of a handler.
type duty struct {
	do       func() error
	done     chan struct{}
	err      error
	panicked any
}

func newCrew(ended <-chan struct{}) *crew { return &crew{work: make(chan *duty), ended: ended} }

// start calls do on a member of the crew, of which there become as many as calls run at
// once.
func (c *crew) start(do func() error) *duty {
	d := &duty{do: do, done: make(chan struct{})}
	select {
	case c.work <- d:
	default:
		go c.serve(d)
	}
	return d
}

// run calls do and waits for its end. A panic of it is the caller's.
func (c *crew) run(do func() error) error {
	d := c.start(do)
	<-d.done
	if d.panicked != nil {
		panic(d.panicked)
	}
	return d.err
}

func (c *crew) serve(d *duty) {
	for {
		d.call()
		select {
		case d = <-c.work:
		case <-c.ended:
			return
		}
	}
}

func (d *duty) call() {
	defer close(d.done)
	defer func() { d.panicked = recover() }()
	d.err = d.do()
}
