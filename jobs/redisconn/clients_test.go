package redisconn_test

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"math/big"
	"net"
	"net/url"
	"path/filepath"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/flowroute-worker/flowroute-worker/jobs/redisconn"
	"github.com/flowroute-worker/flowroute-worker/jobs/redistest"
)

func TestProducerKeepsDeadline(t *testing.T) {
	t.Parallel()
	proxy := redistest.New(t).Proxy(t)
	rdb := proxy.Client()
	if err := rdb.Ping(t.Context()).Err(); err != nil {
		t.Fatal(err)
	}
	proxy.Stall()
	ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
	defer cancel()
	start := time.Now()
	err := rdb.Set(ctx, "k", "v", 0).Err()
	if !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("got %v, want deadline exceeded", err)
	}
	if took := time.Since(start); took > 2*time.Second {
		t.Errorf("a stalled Redis held a caller with 300 ms for %s", took)
	}
}

func TestWorkerWritesWhenCallerIsGone(t *testing.T) {
	t.Parallel()
	db := redistest.New(t)
	gone, cancel := context.WithCancel(t.Context())
	cancel()
	rdb := db.Worker()

	if err := rdb.Set(gone, "single", "v", 0).Err(); err != nil {
		t.Errorf("command: got %v", err)
	}
	_, err := rdb.Pipelined(gone, func(p redis.Pipeliner) error {
		p.Set(gone, "pipelined", "v", 0)
		return nil
	})
	if err != nil {
		t.Errorf("pipeline: got %v", err)
	}
	got, err := db.Client().Exists(t.Context(), "single", "pipelined").Result()
	if err != nil || got != 2 {
		t.Errorf("keys written: got %d, %v, want 2", got, err)
	}
}

func TestWorkerRidesOutOutage(t *testing.T) {
	t.Parallel()
	proxy := redistest.New(t).Proxy(t)
	rdb := proxy.Worker()
	if err := rdb.Ping(t.Context()).Err(); err != nil {
		t.Fatal(err)
	}
	proxy.Cut()
	time.AfterFunc(2*time.Second, proxy.Resume)
	if err := rdb.Set(t.Context(), "k", "v", 0).Err(); err != nil {
		t.Errorf("write during an outage of 2 s: got %v", err)
	}
}

func TestClientsOverTLSAndSocket(t *testing.T) {
	t.Parallel()
	db := redistest.New(t)
	u, err := url.Parse(db.URL)
	if err != nil {
		t.Fatal(err)
	}
	socket := filepath.Join(t.TempDir(), "r.sock")
	unix, err := net.Listen("unix", socket)
	if err != nil {
		t.Fatal(err)
	}
	encrypted, err := tls.Listen("tcp", "127.0.0.1:0", &tls.Config{Certificates: []tls.Certificate{selfSigned(t)}})
	if err != nil {
		t.Fatal(err)
	}
	forward(t, unix, u.Host)
	forward(t, encrypted, u.Host)

	login := ""
	if u.User != nil {
		login = u.User.String() + "@"
	}
	for name, rawURL := range map[string]string{
		"tls":         "rediss://" + login + encrypted.Addr().String() + u.Path + "?skip_verify=true",
		"unix socket": "redis-socket://" + login + socket + "?db=" + u.Path[1:],
	} {
		target, err := redisconn.Parse(rawURL)
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		rdb := target.Worker()
		defer rdb.Close()
		if err := rdb.Set(t.Context(), name, "v", 0).Err(); err != nil {
			t.Errorf("%s: got %v", name, err)
		}
		if got, err := db.Client().Get(t.Context(), name).Result(); err != nil || got != "v" {
			t.Errorf("%s: got %q, %v in the database of the test, want v", name, got, err)
		}
	}

	target, err := redisconn.Parse("rediss://" + encrypted.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	rdb := target.Producer()
	defer rdb.Close()
	if err := redisconn.Wait(t.Context(), rdb, time.Minute, nil); !errors.Is(err, redisconn.ErrRefused) {
		t.Errorf("certificate that nobody signed: got %v, want ErrRefused", err)
	}
}

// forward copies each connection to and from addr.
func forward(t *testing.T, l net.Listener, addr string) {
	t.Helper()
	t.Cleanup(func() { _ = l.Close() })
	go func() {
		for {
			client, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				defer client.Close()
				server, err := net.Dial("tcp", addr)
				if err != nil {
					return
				}
				defer server.Close()
				go func() { _, _ = io.Copy(client, server) }()
				_, _ = io.Copy(server, client)
			}()
		}
	}()
}

func selfSigned(t *testing.T) tls.Certificate {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1),
		NotAfter:     time.Now().Add(time.Hour),
		IPAddresses:  []net.IP{net.IPv4(127, 0, 0, 1)},
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}
}
