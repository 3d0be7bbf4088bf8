package main

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"time"
)

func listen(ctx context.Context, addr string) (net.Listener, error) {
	listener, err := new(net.ListenConfig).Listen(ctx, "tcp", addr)
	if err != nil {
		return nil, fmt.Errorf("%w; choose another HTTP_ADDR", err)
	}
	return listener, nil
}

// whileWaiting answers probes for as long as wait takes, so that no supervisor
// takes a service that waits for Redis for a dead one: it is alive, and not ready.
func whileWaiting(ctx context.Context, r roles, addr string, wait func() error) error {
	if !r.http {
		return wait()
	}
	listener, err := listen(ctx, addr)
	if err != nil {
		return err
	}
	routes := http.NewServeMux()
	routes.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		_, _ = io.WriteString(w, `{"alive":true}`+"\n")
	})
	routes.HandleFunc("/", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/problem+json")
		w.Header().Set("Retry-After", "5")
		w.WriteHeader(http.StatusServiceUnavailable)
		_, _ = io.WriteString(w, `{"title":"Service Unavailable","status":503,"code":"starting","detail":"waiting for Redis"}`+"\n")
	})
	server := &http.Server{Handler: routes, ReadHeaderTimeout: 5 * time.Second}
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		_ = server.Serve(listener) // until it is closed
	}()
	err = wait()
	_ = server.Close()
	<-ended
	return err
}
