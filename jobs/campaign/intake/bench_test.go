package intake_test

import (
	"bytes"
	"encoding/csv"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"testing"

	"github.com/flowroute-worker/flowroute-worker/flowroute"
	"github.com/flowroute-worker/flowroute-worker/jobs/campaign/intake"
)

const benchmarkRows = 100_000

var wanted = intake.Options{Fields: []intake.Field{{Name: "name"}, {Name: "code"}}}

// manyRows writes a file of benchmarkRows, with a header if there is one.
func manyRows(header, format string) []byte {
	var file bytes.Buffer
	file.WriteString(header)
	names := []string{"Ann", "Benjamin", "Charlotte", "Dee", "Eleanor", "Francis"}
	for i := range benchmarkRows {
		fmt.Fprintf(&file, format, 12062000000+uint64(i%700)*10000+uint64(i)%10000, names[i%len(names)], 100000+i%900000)
	}
	return file.Bytes()
}

func benchmark(b *testing.B, file []byte, read func(io.Reader) (int, error)) {
	b.Helper()
	b.ReportAllocs()
	b.SetBytes(int64(len(file)))
	for b.Loop() {
		n, err := read(bytes.NewReader(file))
		if err != nil || n != benchmarkRows {
			b.Fatalf("got %d rows, %v, want %d", n, err, benchmarkRows)
		}
	}
	b.ReportMetric(float64(b.N)*benchmarkRows/b.Elapsed().Seconds(), "rows/s")
}

func withIntake(r io.Reader) (int, error) {
	rows, err := intake.New(r, wanted)
	for n := 0; err == nil; n++ {
		if _, err = rows.Next(); errors.Is(err, io.EOF) {
			return n, nil
		}
	}
	return 0, err
}

// withStandardCSV does the least that a caller of encoding/csv would: no check
// of values, encodings, names.
func withStandardCSV(r io.Reader) (int, error) {
	rows := csv.NewReader(r)
	rows.ReuseRecord = true
	if _, err := rows.Read(); err != nil {
		return 0, err
	}
	for n := 0; ; n++ {
		row, err := rows.Read()
		if errors.Is(err, io.EOF) {
			return n, nil
		}
		if err != nil {
			return 0, err
		}
		_, _ = flowroute.ParseE164(row[0])
	}
}

func withStandardJSON(r io.Reader) (int, error) {
	rows := json.NewDecoder(r)
	for n := 0; ; n++ {
		var row struct{ To, Name, Code string }
		err := rows.Decode(&row)
		if errors.Is(err, io.EOF) {
			return n, nil
		}
		if err != nil {
			return 0, err
		}
		_, _ = flowroute.ParseE164(row.To)
	}
}

// The first of each group is what the others are to be held against.
func BenchmarkCSV(b *testing.B) {
	plain := manyRows("to,name,code\n", "+%d,%s,%d\n")
	b.Run("encoding_csv", func(b *testing.B) { benchmark(b, plain, withStandardCSV) })
	b.Run("intake", func(b *testing.B) { benchmark(b, plain, withIntake) })
	quoted := manyRows("\"to\",\"name\",\"code\"\r\n", "\"+%d\",\"%s\",\"%d\"\r\n")
	b.Run("quoted/encoding_csv", func(b *testing.B) { benchmark(b, quoted, withStandardCSV) })
	b.Run("quoted/intake", func(b *testing.B) { benchmark(b, quoted, withIntake) })
	b.Run("beyond_ASCII/intake", func(b *testing.B) {
		benchmark(b, manyRows("to;name;code\n", "+%d;Zoë %s;%d\n"), withIntake)
	})
	b.Run("invalid/intake", func(b *testing.B) {
		benchmark(b, manyRows("to,name,code\n", "+0%d,%s,%d\n"), withIntake)
	})
}

func BenchmarkNDJSON(b *testing.B) {
	plain := manyRows("", `{"to":"+%d","name":"%s","code":"%d"}`+"\n")
	b.Run("encoding_json", func(b *testing.B) { benchmark(b, plain, withStandardJSON) })
	b.Run("intake", func(b *testing.B) { benchmark(b, plain, withIntake) })
	b.Run("escapes/intake", func(b *testing.B) {
		benchmark(b, manyRows("", `{"to": "+%d", "name": "Zo\u00eb %s", "code": %d}`+"\n"), withIntake)
	})
	b.Run("rare/intake", func(b *testing.B) {
		benchmark(b, manyRows("", `{"to":"+%d","name":"%s","code":"%d","more":{"a":[1]}}`+"\n"), withIntake)
	})
}
