package httpapi

import (
	"net/http"
	"sync"
)

// drains tell long requests that their server begins to shut down: it waits for running
// requests, and these would not end by themselves.
type drains struct {
	mu   sync.Mutex
	over map[*http.Server]chan struct{}
}

// of is closed when the server of the request begins to shut down. nil: nobody will say.
func (d *drains) of(r *http.Request) <-chan struct{} {
	server, ok := r.Context().Value(http.ServerContextKey).(*http.Server)
	if !ok {
		return nil
	}
	return d.watch(server)
}

// watch is closed when the server begins to shut down, if it is watched before that.
func (d *drains) watch(server *http.Server) <-chan struct{} {
	d.mu.Lock()
	defer d.mu.Unlock()
	over, known := d.over[server]
	if !known {
		over = make(chan struct{})
		if d.over == nil {
			d.over = map[*http.Server]chan struct{}{}
		}
		d.over[server] = over
		server.RegisterOnShutdown(sync.OnceFunc(func() { close(over) }))
	}
	return over
}
