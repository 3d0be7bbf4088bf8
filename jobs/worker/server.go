package worker

import (
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"time"

	"github.com/hibiken/asynq"
	"github.com/redis/go-redis/v9"

	"github.com/flowroute-worker/flowroute-worker/jobs/ledger"
	"github.com/flowroute-worker/flowroute-worker/ratelimit"
)

// servers makes the asynq servers, for each queue one or more: a server takes one task
// at a time, which bounds it to some three thousand in a second.
func (w *Worker) servers(rdb redis.UniversalClient) []*asynq.Server {
	var servers []*asynq.Server
	for _, queue := range queues() {
		concurrency, many := w.o.Concurrency, 1
		switch queue {
		case ledger.QueueNormal, ledger.QueueBulk:
			many = dequeuers(w.o.Rates.SMS)
			concurrency = (concurrency + many - 1) / many
		case ledger.QueueNumbers:
			concurrency = min(concurrency, 8)
		case ledger.QueueSync:
			concurrency = 2
		case QueueResend:
			concurrency = min(concurrency, resendHandlers)
		}
		delayed := time.Second
		for range many {
			servers = append(servers, asynq.NewServerFromRedisClient(rdb, asynq.Config{
				Concurrency:              concurrency,
				Queues:                   map[string]int{queue: 1},
				TaskCheckInterval:        pickupPause,
				DelayedTaskCheckInterval: delayed,
				ShutdownTimeout:          w.o.ShutdownTimeout,
				RetryDelayFunc:           retryDelay,
				IsFailure:                isFailure,
				Logger:                   &asynqLog{log: w.log.With("queue", queue), said: map[string]time.Time{}},
				LogLevel:                 asynq.WarnLevel,
			}))
			delayed = time.Minute // one of them is enough
		}
	}
	return servers
}

// dequeuers is how many servers take tasks from one queue.
func dequeuers(rate ratelimit.Rate) int {
	const each, most = 500, 8
	if perSecond := rate.PerSecond(); perSecond < each*most {
		return 1 + int(perSecond/each)
	}
	return most
}

// deferral sends a task back to its queue for a while. It is no failure: asynq
// does not count it.
type deferral struct{ after time.Duration }

func (d deferral) Error() string {
	return fmt.Sprintf("looked at again in %v", d.after.Round(time.Millisecond))
}

func isFailure(err error) bool {
	_, deferred := errors.AsType[deferral](err)
	return !deferred
}

// retryDelay is how long a task rests after an error. asynq keeps due times in
// whole seconds, rounded down, so a second is added where early is useless.
func retryDelay(retried int, err error, _ *asynq.Task) time.Duration {
	if d, ok := errors.AsType[deferral](err); ok {
		if d.after <= 0 {
			return 0
		}
		return d.after + 999*time.Millisecond
	}
	if errors.Is(err, asynq.ErrLeaseExpired) {
		return time.Second
	}
	return min(time.Duration(1+retried)*2*time.Second, 30*time.Second)
}

// asynqLog hands asynq's own lines to slog. In an outage asynq says the same
// several times a second; one line in five seconds is enough.
type asynqLog struct {
	log *slog.Logger

	mu   sync.Mutex
	said map[string]time.Time
}

func (l *asynqLog) Debug(args ...any) { l.log.Debug("asynq", "reason", fmt.Sprint(args...)) }
func (l *asynqLog) Info(args ...any)  { l.log.Info("asynq", "reason", fmt.Sprint(args...)) }
func (l *asynqLog) Warn(args ...any)  { l.once(fmt.Sprint(args...)) }
func (l *asynqLog) Error(args ...any) { l.once(fmt.Sprint(args...)) }
func (l *asynqLog) Fatal(args ...any) { l.log.Error("asynq", "reason", fmt.Sprint(args...)) }

func (l *asynqLog) once(text string) {
	kind, _, _ := strings.Cut(text, ":") // what follows has ports and ids in it
	l.mu.Lock()
	again := time.Since(l.said[kind]) < 5*time.Second
	if !again {
		if len(l.said) > 100 {
			clear(l.said)
		}
		l.said[kind] = time.Now()
	}
	l.mu.Unlock()
	if again {
		l.log.Debug("asynq", "reason", text)
		return
	}
	l.log.Warn("asynq", "reason", text)
}
