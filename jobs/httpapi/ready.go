package httpapi

import (
	"context"
	"log/slog"
	"net/http"
	"time"
)

// Check is one line of /readyz, which is open to everybody: no secrets, no
// addresses.
type Check struct {
	Name   string `json:"name"`
	OK     bool   `json:"ok"`
	Detail string `json:"detail,omitempty"`
}

// getHealth says that the process is alive, whatever else is not.
func (s *Server) getHealth(w http.ResponseWriter, _ *http.Request) error {
	return writeJSON(w, http.StatusOK, map[string]bool{"alive": true})
}

// readyPatience is below the timeout of the usual probes.
const readyPatience = 2 * time.Second

// getReady says whether jobs can be taken and sent: 200, or 503 with what is
// wrong.
func (s *Server) getReady(w http.ResponseWriter, r *http.Request) error {
	ctx, cancel := context.WithTimeout(r.Context(), readyPatience)
	defer cancel()
	checks := []Check{{Name: "redis", OK: true}}
	if err := s.o.Redis.Ping(ctx).Err(); err != nil {
		s.log.DebugContext(ctx, "redis does not answer", slog.Any("err", err))
		checks[0] = Check{Name: "redis", Detail: "does not answer"}
	}
	if s.o.Ready != nil {
		checks = append(checks, s.o.Ready(ctx)...)
	}
	answer := struct {
		Ready  bool    `json:"ready"`
		Checks []Check `json:"checks"`
	}{true, checks}
	status := http.StatusOK
	for _, check := range checks {
		if !check.OK {
			answer.Ready, status = false, http.StatusServiceUnavailable
		}
	}
	return writeJSON(w, status, answer)
}
