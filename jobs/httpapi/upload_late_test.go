package httpapi_test

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/flowroute-worker/flowroute-worker/internal/race"
	"github.com/flowroute-worker/flowroute-worker/jobs/httpapi"
)

// writeAllThenRead sends a request on a connection of its own and reads nothing until
// the whole body is written.
func (b *bundle) writeAllThenRead(path string, size int64, body io.Reader) *http.Response {
	b.t.Helper()
	conn, err := new(net.Dialer).DialContext(b.t.Context(), "tcp", strings.TrimPrefix(b.url, "http://"))
	if err != nil {
		b.t.Fatal(err)
	}
	b.t.Cleanup(func() { _ = conn.Close() })
	if err := conn.SetDeadline(time.Now().Add(5 * time.Minute)); err != nil {
		b.t.Fatal(err)
	}
	fmt.Fprintf(conn, "POST %s HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer %s\r\nContent-Type: %s\r\nContent-Length: %d\r\n\r\n", path, appToken, asLines, size)
	if n, err := io.Copy(conn, body); err != nil || n != size {
		b.t.Fatalf("wrote %d of %d bytes: %v", n, size, err)
	}
	response, err := http.ReadResponse(bufio.NewReaderSize(conn, 64<<10), nil)
	if err != nil || response.StatusCode != 200 {
		b.t.Fatalf("got %+v, %v", response, err)
	}
	return response
}

// TestAMillionLinesFromOneWhoReadsLate: a client that writes everything before it reads
// anything must not hang, and gets an answer to each line, in order.
func TestAMillionLinesFromOneWhoReadsLate(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	b := setup(t, func(o *httpapi.Options) { o.SpoolDir, o.MaxBody = dir, 60 })
	const each = 1000 // every so many is a message
	count := 1_000_000
	if race.Enabled {
		count = 100_000
	}
	var body bytes.Buffer
	tooLong := strings.Repeat("x", 61) + "\n" // what costs least to refuse
	for i := range count {
		if i%each == 0 {
			body.WriteString(text(i, "") + "\n")
		} else {
			body.WriteString(tooLong)
		}
	}
	response := b.writeAllThenRead("/v1/messages", int64(body.Len()), bytes.NewReader(body.Bytes()))
	if left, err := os.ReadDir(dir); err != nil || len(left) != 0 {
		t.Errorf("the spool can be seen: %v, %v", left, err)
	}
	line, size, want := 0, 0, []byte(nil)
	for answers := bufio.NewScanner(response.Body); answers.Scan(); {
		text := answers.Bytes()
		size += len(text)
		if line++; line > count {
			want := fmt.Sprintf(`{"total":{"lines":%d,"accepted":%d,"duplicate":0,"blocked":0,"invalid":%d,"unconfirmed":0,"not_taken":0}}`, count, count/each, count-count/each)
			if string(text) != want || answers.Scan() {
				t.Errorf("got %s at the end", text)
			}
			break
		}
		state := `,"error":{"code":"too_large",`
		if (line-1)%each == 0 {
			state = `,"id":"`
		}
		if want = append(strconv.AppendInt(append(want[:0], `{"line":`...), int64(line), 10), state...); !bytes.HasPrefix(text, want) {
			t.Fatalf("line %d: got %s", line, text)
		}
	}
	if line != count+1 {
		t.Errorf("got %d lines", line)
	}
	t.Logf("%d bytes of answers", size)
}

// TestAnswersThatNobodyReads: when there is no more room for them, the rest is not tried,
// which the total says; nothing hangs, and nothing is taken of which nobody is told.
func TestAnswersThatNobodyReads(t *testing.T) {
	t.Parallel()
	for name, size := range map[string]int64{"a small disk": 3 << 20, "no disk": -1} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := setup(t, func(o *httpapi.Options) { o.SpoolSize, o.ReadTimeout = size, time.Second })
			addr, stop := serve(t, b.server)
			b.url = "http://" + addr
			const count = 200_000
			body := strings.Repeat("x"+strings.Repeat(" ", 98)+"\n", count) + text(1, "") // more than the sockets hold
			response := b.writeAllThenRead("/v1/messages", int64(len(body)), strings.NewReader(body))
			all, err := io.ReadAll(response.Body)
			if err != nil {
				t.Fatal(err)
			}
			stop()
			list, total := linesOf(t, all)
			for i, l := range list[:len(list)-1] {
				if l.Line != i+1 || l.Error == nil {
					t.Fatalf("got %+v as answer %d", l, i+1)
				}
			}
			last, answered := list[len(list)-1], len(list)-1
			if want := (totals{Lines: count + 1, Invalid: answered, NotTaken: count + 1 - answered}); total != want || last.Error == nil || last.Error.Code != "answers_not_read" {
				t.Errorf("got %+v, %+v, want %+v", total, last.Error, want)
			}
			if want := fmt.Sprintf("Lines from %d on", answered+1); !strings.Contains(last.Error.Message, want) {
				t.Errorf("got %q, want %s", last.Error.Message, want)
			}
			// Memory, the file, what is on the way, and the answers to one piece of work.
			if room := int64(len(all)); room < max(size, 0) || room > max(size, 0)+8<<20 {
				t.Errorf("got %d bytes of answers, with room for %d", room, size)
			}
			if counts, err := b.jobs.Ledger().Counts(t.Context()); err != nil || counts["send-message"]["queued"] != 0 {
				t.Errorf("got %v, %v", counts, err)
			}
		})
	}
}

// TestSlowReaderGetsAll: one that reads, however slowly, makes the server wait and loses
// nothing, with next to no room for answers.
func TestSlowReaderGetsAll(t *testing.T) {
	t.Parallel()
	b := setup(t, func(o *httpapi.Options) { o.SpoolSize, o.ReadTimeout = 1, time.Second })
	addr, stop := serve(t, b.server)
	defer stop()
	k := b.talkTo(addr, "/v1/messages")
	written := make(chan error, 1)
	const count = 30_000
	go func() {
		body := strings.Repeat("x\n", count)
		_, err := fmt.Fprintf(k.conn, "%x\r\n%s\r\n0\r\n\r\n", len(body), body)
		written <- err
	}()
	for i := range count {
		if i%5000 == 4999 { // in all longer than a client may take that is stuck
			timer := time.NewTimer(300 * time.Millisecond)
			<-timer.C
		}
		if l := k.read(); l.Line != i+1 || l.Error == nil {
			t.Fatalf("got %+v, want line %d", l, i+1)
		}
	}
	if err := <-written; err != nil {
		t.Error(err)
	}
	var last told
	if err := json.NewDecoder(k.answers).Decode(&last); err != nil || last.Total == nil || last.Total.Invalid != count || last.Error != nil {
		t.Errorf("got %+v, %v", last, err)
	}
}
