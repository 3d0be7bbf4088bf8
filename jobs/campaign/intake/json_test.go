package intake_test

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/flowroute-worker/flowroute-worker/jobs/campaign/intake"
)

func testTime() time.Time { return time.Date(2026, 1, 15, 12, 0, 0, 0, time.UTC) }

func TestNDJSON(t *testing.T) {
	t.Parallel()
	const (
		one       = "1 +12065550100 [Ann] [1]"
		two       = `{"to":"+12065550101","name":"Bob","code":2}`
		bobSecond = "2 +12065550101 [Bob] [2]"
		likeThis  = `: give one object on each line, like {"to":"+12065550100"}`
		several   = "1  contradiction: has several fields that may be the phone number: name the one that is it to, rename the others, or say which one it is"
		half      = " not_utf8: has half a character (a \\u escape without its other half): cut texts between characters"
	)
	tests := []struct{ name, input, want string }{
		{"plain", `{"to":"+12065550100","name":"Ann","code":"1"}`, one},
		{"another order, and more", `{"x":null,"code":1,"name":"Ann","y":[1,{"to":"\"}"}],"phone":"(206) 555-0100","z":{}}`, one},
		{"spaces", " { \"to\" : \"+12065550100\" ,\t\"name\" :\"Ann\", \"code\": 1 } \r", one},
		{"other names", `{"Mobile Number":12065550100,"NAME":"Ann","Code":1}`, one},
		{"a number as a spreadsheet's", `{"to":1.2065550100E10,"name":"Ann","code":1}`, one},
		{"no code", `{"to":"+12065550100","name":"Ann"}`, "1 +12065550100 [Ann] -"},
		{"null", `{"to":"+12065550100","name":"Ann","code":null}`, "1 +12065550100 [Ann] -"},
		{"empty", `{"to":"+12065550100","name":"Ann","code":""}`, "1 +12065550100 [Ann] []"},
		{"values of other kinds", `{"to":"+12065550100","name":true,"code":-1.50e+3}`, "1 +12065550100 [true] [-1.50e+3]"},
		{"false, zero", `{"to":"+12065550100","name":false,"code":0}`, "1 +12065550100 [false] [0]"},
		{"escapes", `{"to":"\u002b12065550100","name":"\"Zo\u00EB\" \\\/\n\r\t\ud83d\ude00","code":1}`, "1 +12065550100 [\"Zoë\" \\/\n\r\t😀] [1]"},
		{"escapes in a key", `{"to":"+12065550100","n\u0061me":"Ann","code":1}`, one},
		{"beyond ASCII", `{"to":"+12065550100","name":"Zoë 😀","code":1}`, "1 +12065550100 [Zoë 😀] [1]"},
		{"spaces are kept", `{"to":"+12065550100","name":" Ann ","code":1}`, "1 +12065550100 [ Ann ] [1]"},

		{"cut", `{"to":"+12065550100","name":"An`, "1  malformed_json: is no JSON, or cut off at byte 31" + likeThis},
		{"a comma too many", `{"to":"+12065550100","name":"Ann",}`, "1  malformed_json: is no JSON, or cut off at byte 35" + likeThis},
		{"two on a line", `{"to":"+12065550100","name":"Ann"}{}`, "1  malformed_json: is no JSON, or cut off at byte 35" + likeThis},
		{"a control character", "{\"to\":\"+12065550100\",\"name\":\"A\tnn\"}", "1  malformed_json: is no JSON, or cut off at byte 31" + likeThis},
		{"a number with a zero", `{"to":"+12065550100","name":"Ann","code":01}`, "1  malformed_json: is no JSON, or cut off at byte 43" + likeThis},
		{"broken within what nobody asked for", `{"to":"+12065550100","name":"Ann","x":[}]}`, "1  malformed_json: is no JSON, or cut off at byte 40" + likeThis},
		{"broken, though its brackets match", `{"to":"+12065550100","name":"Ann","x":[1 2]}`, "1  malformed_json: is no JSON, or cut off at byte 42" + likeThis},
		{"a list", `["+12065550100"]`, "1  wrong_type: is no JSON object" + ": give one on each line, like {\"to\":\"+12065550100\"}"},
		{"a word", `null`, "1  wrong_type: is no JSON object" + ": give one on each line, like {\"to\":\"+12065550100\"}"},
		{"a list as a value", `{"to":"+12065550100","name":["Ann"]}`, "1 name wrong_type: want a text or a number, not a list or an object"},
		{"an object as a number", `{"to":{},"name":"Ann"}`, "1 to wrong_type: want a text or a number, not a list or an object"},
		{"given twice", `{"to":"+12065550100","name":"Ann","Name":"Bob"}`, "1 Name repeated_field: is given twice: give it once"},
		{"the number twice", `{"to":"+12065550100","name":"Ann","to":"+12065550101"}`, "1 to repeated_field: is given twice: give it once"},
		{"what nobody asked for twice", `{"to":"+12065550100","x":1,"x":1,"name":"Ann"}`, "1 x repeated_field: is given twice: give it once"},
		{"several numbers", `{"to":"+12065550100","phone":"+12065550101","name":"Ann"}`, several},
		{"several, one null", `{"to":"+12065550100","phone":null,"name":"Ann"}`, several},
		{"no number", `{"name":"Ann"}`, "1 to" + missing},
		{"nothing", `{}`, "1 to" + missing},
		{"null as number", `{"to":null,"name":"Ann"}`, "1 to" + missing},
		{"a bad number", `{"Phone":"x","name":"Ann"}`, "1 phone invalid: contains something that is neither a digit nor a separator (want a number like +12065550100)"},
		{"a rounded number", `{"to":1.20656E+10,"name":"Ann"}`, "1 to" + rounded},
		{"no name", `{"to":"+12065550100"}`, "1 name" + emptyField},
		{"a blank name", `{"to":"+12065550100","name":"\u00a0"}`, "1 name" + emptyField},
		{"a control character, escaped", `{"to":"+12065550100","name":"A\u0007"}`, "1 name" + controlled},
		{"another", `{"to":"+12065550100","name":"A\u0085"}`, "1 name" + controlled},
		{"DEL", "{\"to\":\"+12065550100\",\"name\":\"A\x7f\"}", "1 name" + controlled},
		{"half a character", `{"to":"+12065550100","name":"A\ud83d"}`, "1 name" + half},
		{"the other half", `{"to":"+12065550100","name":"\ude00A"}`, "1 name" + half},
		{"half a character of what nobody asked for", `{"to":"+12065550100","name":"Ann","x":"\ud83d","code":1}`, one},
		{"not UTF-8", "{\"to\":\"+12065550100\",\"name\":\"Zo\xeb\"}", "1  not_utf8: is not UTF-8: JSON has to be"},
		{"too long", `{"to":"+12065550100","name":"` + strings.Repeat("x", intake.MaxRow) + `"}`, "1 " + tooLong},
		{"deep", `{"to":"+12065550100","name":"Ann","x":` + strings.Repeat("[", 20000), "1  malformed_json: is no JSON, or cut off at byte 10038" + likeThis},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			options := intake.Options{Format: intake.NDJSON, Fields: nameAndCode()}
			checkHoweverRead(t, test.input+"\n"+two, options, []string{test.want, bobSecond})
			// Again, when the keys are known, and without the end of the line.
			checkHoweverRead(t, "\n"+two+"\n \n"+test.input, options, []string{bobSecond, "4" + test.want[1:]})
		})
	}
}

func TestNDJSONMayBeEmpty(t *testing.T) {
	t.Parallel()
	for _, input := range []string{"", "\n \n"} {
		got, err := answers(strings.NewReader(input), intake.Options{Format: intake.NDJSON})
		if len(got) != 0 || err != nil {
			t.Errorf("%q: got %v, %v", input, got, err)
		}
	}
}

// Rows need not have the same keys, and there may be more keys than are
// remembered.
func TestNDJSONOfManyKeys(t *testing.T) {
	t.Parallel()
	var input strings.Builder
	var want []string
	for i := range 3000 {
		key := "k" + strings.Repeat("x", i%60) + strings.Repeat("y", i/60)
		switch i % 3 {
		case 0:
			input.WriteString(`{"` + key + `":1,"name":"Ann","to":"+12065550100"}` + "\n")
		case 1:
			input.WriteString(`{"to":"+12065550100","` + key + `":1,"name":"Ann"}` + "\n")
		default:
			input.WriteString(`{"name":"Ann","to":"+12065550100","` + key + `":1,"` + key + `":1}` + "\n")
		}
		if i%3 < 2 {
			want = append(want, "+12065550100 [Ann] -")
		} else {
			want = append(want, "repeated")
		}
	}
	rows, err := intake.New(strings.NewReader(input.String()), intake.Options{Fields: nameAndCode()})
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for range want {
		row, err := rows.Next()
		if err != nil {
			t.Fatal(err)
		}
		if row.Problem.Code == "repeated_field" {
			got = append(got, "repeated")
			continue
		}
		_, text, _ := strings.Cut(answer(row), " ")
		got = append(got, text)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}
