package flowroute_test

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"

	"github.com/flowroute-worker/flowroute-worker/flowroute"
)

func BenchmarkParseE164(b *testing.B) {
	for _, in := range []string{"+1 (206) 555-1234", "12065551234", "+44 20 7946 0958", "8766060123"} {
		b.Run(strings.ReplaceAll(in, " ", "_"), func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if _, err := flowroute.ParseE164(in); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

func BenchmarkSegments(b *testing.B) {
	for name, body := range map[string]string{"ascii": strings.Repeat("a", 300), "ucs2": strings.Repeat("a", 299) + "’"} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				flowroute.Segments(body)
			}
		})
	}
}

// BenchmarkSendMessage measures a send over loopback, against a server that costs
// next to nothing. The plain client is what net/http itself needs.
func BenchmarkSendMessage(b *testing.B) {
	body := `{"data":{"id":"mdr2-abc"}}`
	answer := fmt.Sprintf("%sContent-Length: %d\r\n\r\n%s", accepted, len(body), body)
	newServer := func(b *testing.B) *wire {
		return newWire(b, func(c *net.TCPConn, _ func() error) {
			r := bufio.NewReader(c)
			for {
				length := 0
				for {
					line, err := r.ReadSlice('\n')
					if err != nil {
						return
					}
					if len(line) == 2 {
						break
					}
					if rest, ok := strings.CutPrefix(string(line), "Content-Length: "); ok {
						for _, digit := range strings.TrimSpace(rest) {
							length = length*10 + int(digit-'0')
						}
					}
				}
				r.Discard(length)
				if _, err := io.WriteString(c, answer); err != nil {
					return
				}
			}
		})
	}
	b.Run("client", func(b *testing.B) {
		c := newClient(b, newServer(b).url)
		b.ReportAllocs()
		for b.Loop() {
			if _, err := c.SendMessage(b.Context(), hello, flowroute.Write{}); err != nil {
				b.Fatal(err)
			}
		}
		c.Close()
	})
	b.Run("plain", func(b *testing.B) {
		server := newServer(b)
		transport := new(http.Transport)
		plain := &http.Client{Transport: transport}
		body := `{"data":{"type":"message","attributes":{"to":"12065550199","from":"12065550100","body":"hello there"}}}`
		b.ReportAllocs()
		for b.Loop() {
			resp, err := plain.Post(server.url, "application/vnd.api+json", strings.NewReader(body))
			if err != nil {
				b.Fatal(err)
			}
			io.Copy(io.Discard, resp.Body)
			resp.Body.Close()
		}
		transport.CloseIdleConnections()
	})
}
