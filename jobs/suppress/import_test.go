package suppress_test

import (
	"errors"
	"fmt"
	"io"
	"iter"
	"strings"
	"sync"
	"testing"
	"testing/iotest"

	"github.com/flowroute-worker/flowroute-worker/flowroute"
	"github.com/flowroute-worker/flowroute-worker/jobs/redistest"
	"github.com/flowroute-worker/flowroute-worker/jobs/suppress"
)

// imported imports a list and returns the answers as lines.
func (b *bundle) imported(list string, o suppress.ImportOptions) (suppress.Totals, []string) {
	b.t.Helper()
	var answers []string
	totals, err := b.Import(b.t.Context(), suppress.ReadRows(strings.NewReader(list)), o, func(a suppress.Answer) error {
		text := fmt.Sprintf("%d %s %s", a.Line, a.Verdict, a.Entry.Recipient)
		if a.Problem != nil {
			text = fmt.Sprintf("%d %s %s", a.Line, a.Verdict, a.Problem.Error())
		}
		answers = append(answers, text)
		return nil
	})
	if err != nil {
		b.t.Fatal(err)
	}
	return totals, answers
}

func TestImport(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.add(person(number(2), ours(0), minute(1), "before"))
	list := "\ufeffPhone Number;Name;Date;Reason\r\n" +
		"(206) 555-0001;Ada;2026-01-31;\"said \"\"no\"\"\"\r\n" +
		"\r\n" +
		"# a comment\r\n" +
		"+12065550002;Bob;;\r\n" +
		"1.2065550003E+10;Cleo;;\r\n" +
		"555-0004;Dan;;\r\n" +
		"2065550005;Eve;31/12/2025;\r\n" +
		";Fay;;\r\n" +
		"2065550007;Gus;2026-01-31 15:04;\"two\r\nlines\"\r\n" +
		"2065550008;Hal;2199-01-01;\r\n" +
		"2065550009;Ida;;;;\r\n" +
		"2065550010;Jon;;note;with;semicolons\r\n" +
		"2065550001;Ada again;;\r\n" +
		"2065550011;Kim;;" + strings.Repeat("ü", 40)
	totals, answers := b.imported(list, suppress.ImportOptions{Note: "the list of January"})
	want := []string{
		"2 added +12065550001",
		"5 known +12065550002",
		"6 invalid recipient: was rounded by a spreadsheet: format the column as text there, and save again",
		"7 invalid recipient: has no country code: it needs +, or ten digits with an area code (want a number like +12065550100)",
		"8 invalid time: give a time like 2026-01-31 or 2026-01-31T15:04:05Z",
		"9 invalid recipient: give a number like +12065550100",
		"10 added +12065550007",
		"12 invalid time: is in the future: give when they opted out, or leave it out",
		"13 added +12065550009",
		`14 invalid has 6 columns, the header has 4: put texts with ';' in them in quotes`,
		"15 known +12065550001",
		"16 added +12065550011",
	}
	same(t, "answers", answers, want)
	same(t, "totals", totals, suppress.Totals{Added: 4, Known: 2, Invalid: 6})
	notes := map[string]string{}
	for _, e := range b.all(t.Context()) {
		notes[e.Recipient.Digits()] = string(e.Source) + " " + e.Note
	}
	same(t, "notes", notes, map[string]string{
		"12065550001": `import said "no"`, "12065550002": "person before", "12065550007": "import two lines",
		"12065550009": "import the list of January", "12065550011": "import " + strings.Repeat("ü", 22) + "…",
	})

	// The same list again changes nothing.
	before := b.all(t.Context())
	totals, _ = b.imported(list, suppress.ImportOptions{})
	same(t, "totals of a repetition", totals, suppress.Totals{Known: 6, Invalid: 6})
	same(t, "entries after a repetition", b.all(t.Context()), before)
	b.wantCount(5, 5)
}

func TestListsOfAllForms(t *testing.T) {
	t.Parallel()
	const number1, number2 = "recipient +12065550001", "recipient +12065550002"
	for name, c := range map[string]struct {
		list string
		want []string
	}{
		"plain lines":              {"+12065550001\n(206) 555-0002\n", []string{number1, number2}},
		"no end of the last":       {"2065550001\r\n2065550002", []string{number1, number2}},
		"empty":                    {"", nil},
		"only a mark":              {"\ufeff", nil},
		"only a header":            {"phone\n", nil},
		"header in capitals":       {"NAME\tMobile_Number\nx\t2065550001\n", []string{number1}},
		"four columns, none named": {"2065550001,4255550101,2026-01-31T10:00:00Z,gone\n", []string{number1}},
		"quoted":                   {"\"+1 206-555-0001\"\n\"206.555.0002\"\n", []string{number1, number2}},
		"a line of nonsense":       {"2065550001\nhello, there\n2065550002\n", []string{number1, "2 recipient", number2}},
		"header nobody knows":      {"Kontakt\n2065550001\n", []string{"1 recipient", number1}},
		"quote without end":        {"phone,note\n2065550001,\"oh\n2065550002,ok\n", []string{"2 ", number2}},
		"quote without end, last":  {"phone,note\n2065550002,ok\n2065550001,\"oh", []string{number2, "3 "}},
		"quotes at two places":     {"phone,note\n2065550001,\"oh\n2065550002,\"ah\n", []string{"2 ", "3 "}},
		"a field of 10 MB":         {"2065550001\n" + strings.Repeat("9", 10<<20) + "\n2065550002\n", []string{number1, "2 ", number2}},
		"10 MB without an end":     {"2065550001\n" + strings.Repeat("9", 10<<20), []string{number1, "2 "}},
		"zero bytes":               {"2065550001\n\x00\x00\n2065550002\n", []string{number1, "2 recipient", number2}},
		"latin-1":                  {"phone,note\n2065550001,caf\xe9\n", []string{number1}},
		"more columns":             {"2065550001,,,,x\n", []string{"1 "}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := setup(t)
			var got []string
			_, err := b.Import(t.Context(), suppress.ReadRows(iotest.HalfReader(strings.NewReader(c.list))), suppress.ImportOptions{}, func(a suppress.Answer) error {
				if a.Problem != nil {
					got = append(got, fmt.Sprintf("%d %s", a.Line, a.Problem.Field))
				} else {
					got = append(got, "recipient "+a.Entry.Recipient.String())
				}
				return nil
			})
			if err != nil {
				t.Fatal(err)
			}
			same(t, "rows", got, c.want)
		})
	}
}

func TestListsThatAreRefused(t *testing.T) {
	t.Parallel()
	b := setup(t)
	for list, want := range map[string]error{
		"\xff\xfe2\x000\x006\x00":   suppress.ErrNotUTF8,
		"phone,mobile\n1,2\n":       suppress.ErrHeader,
		"phone;phone\n1;2\n":        suppress.ErrHeader,
		"name,note\n2065550001,x\n": suppress.ErrHeader,
	} {
		totals, err := b.Import(t.Context(), suppress.ReadRows(strings.NewReader(list)), suppress.ImportOptions{}, func(suppress.Answer) error { return nil })
		if !errors.Is(err, want) || totals != (suppress.Totals{}) {
			t.Errorf("%q: got %+v, %v, want %v", list, totals, err, want)
		}
	}
	_, err := b.Import(t.Context(), nil, suppress.ImportOptions{Note: strings.Repeat("x", 49)}, nil)
	if _, ok := errors.AsType[*suppress.InvalidError](err); !ok {
		t.Errorf("long note: got %v", err)
	}
	// What was read before reading failed is taken and answered.
	broken := errors.New("unplugged")
	answers := 0
	_, err = b.Import(t.Context(), suppress.ReadRows(io.MultiReader(strings.NewReader("2065550001\n"), iotest.ErrReader(broken))), suppress.ImportOptions{},
		func(suppress.Answer) error { answers++; return nil })
	if !errors.Is(err, broken) || answers != 1 {
		t.Errorf("got %v, %d answers", err, answers)
	}
}

// rowsOf yields n rows, and calls at before each.
func rowsOf(n int, at func(i int)) iter.Seq2[suppress.Row, error] {
	return func(yield func(suppress.Row, error) bool) {
		for i := range n {
			at(i)
			if !yield(suppress.Row{Line: i + 1, Recipient: number(i).String(), Time: "2026-01-31"}, nil) {
				return
			}
		}
	}
}

// TestImportThatIsCut: what was answered is there, and the same again completes it.
func TestImportThatIsCut(t *testing.T) {
	t.Parallel()
	db := redistest.New(t)
	proxy := db.Proxy(t)
	b := setupOn(t, proxy.Client(), suppress.Options{})
	const rows = 3000
	answered := 0
	count := func(suppress.Answer) error { answered++; return nil }
	_, err := b.Import(t.Context(), rowsOf(rows, func(i int) {
		if i == 1700 {
			proxy.Cut()
		}
	}), suppress.ImportOptions{}, count)
	if err == nil || answered != 1500 {
		t.Fatalf("got %v after %d answers, want an error after 1500", err, answered)
	}
	proxy.Resume()
	if got, err := b.Count(t.Context()); err != nil || got.Entries < int64(answered) {
		t.Errorf("got %+v, %v, want the %d that were answered", got, err, answered)
	}
	totals, err := b.Import(t.Context(), rowsOf(rows, func(int) {}), suppress.ImportOptions{}, count)
	if err != nil || totals.Added+totals.Known != rows || totals.Known < 1500 {
		t.Errorf("got %+v, %v", totals, err)
	}
	b.wantCount(rows, rows)

	// An end that the caller wants leaves what was answered.
	enough := errors.New("enough")
	totals, err = b.Import(t.Context(), rowsOf(rows, func(int) {}), suppress.ImportOptions{From: ours(1)}, func(a suppress.Answer) error {
		if a.Line == 10 {
			return enough
		}
		return nil
	})
	if !errors.Is(err, enough) || totals.Added != 10 {
		t.Errorf("got %+v, %v", totals, err)
	}
}

// TestAtOnce: of many that do the same at once exactly one is told that it did it,
// and the counts are right in the end.
func TestAtOnce(t *testing.T) {
	t.Parallel()
	b := setup(t)
	const workers, rows = 6, 700
	added := make([]int, workers)
	var wg sync.WaitGroup
	for w := range workers {
		wg.Go(func() {
			totals, err := b.Import(t.Context(), rowsOf(rows, func(int) {}), suppress.ImportOptions{}, func(suppress.Answer) error { return nil })
			if err != nil {
				t.Error(err)
			}
			added[w] = totals.Added
		})
	}
	wg.Wait()
	total := 0
	for _, n := range added {
		total += n
	}
	if total != rows {
		t.Errorf("%d were told to have added one of %d", total, rows)
	}
	b.wantCount(rows, rows)

	for w := range workers {
		wg.Go(func() {
			for i := range 60 {
				var err error
				switch (w + i) % 3 {
				case 0:
					_, _, err = b.Add(t.Context(), person(number(i%7), ours(w%3), minute(i), ""))
				case 1:
					_, _, err = b.Remove(t.Context(), number(i%7), ours(w%2))
				default:
					_, err = b.ApplyInbound(t.Context(), toMDRs(i, w))
				}
				if err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
	recipients := map[string]bool{}
	list := b.all(t.Context())
	for _, e := range list {
		recipients[e.Recipient.String()] = true
	}
	b.wantCount(int64(len(list)), int64(len(recipients)))
}

func toMDRs(i, w int) []flowroute.MDR {
	return []flowroute.MDR{inbound(minute(i), number(i%7), ours(1+w%2), "STOP"), inbound(minute(i+w), number((i+1)%7), ours(1), "START")}
}
