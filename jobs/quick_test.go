package jobs

import (
	"encoding/json"
	"reflect"
	"strings"
	"testing"
)

// slowMessage reads a message the long way.
func slowMessage(b []byte) (m Message, err error) {
	var d door
	d.decode(b, m.fields())
	return m, d.err()
}

// What is read quickly is what is read the long way, and what the long way refuses is
// never read quickly.
func FuzzQuickMessage(f *testing.F) {
	good, _ := json.Marshal(map[string]string{"from": "+12065550100", "to": "+12065550123", "body": "hello é 🙂 <&>", "key": "k", "priority": "otp",
		"campaign": "c", "sending_hours": "08:00-21:00"})
	for _, text := range []string{
		string(good), " { \"from\" : \"a\" ,\r\n\t\"to\":\"b\"} ", `{"from":"a","from":"b"}`, `{"from":"a",}`, `{"from":"a"`, `{"from":"a"}}`, `{}`, ``, `[]`,
		`{"from":"a\u0041"}`, `{"from":"a\"b"}`, "{\"from\":\"a\nb\"}", "{\"from\":\"\xff\"}", `{"From":"a"}`, `{"from":null}`, `{"from":1}`, `{"v":1,"from":"a"}`,
		`{"bdoy":"x"}`, `{"from":"a" "to":"b"}`, `{"from":"a"},`, `{"is_mms":true,"from":"a"}`, `"from"`, `{"from"}`, `{"from":}`, `{"from":"`, `{"from":"a","to"`,
	} {
		f.Add([]byte(text))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		quick, ok := quickMessage(b)
		if !ok {
			return
		}
		slow, err := slowMessage(b)
		if err != nil || !reflect.DeepEqual(quick, slow) {
			t.Errorf("%q: got %+v, want %+v, %v", b, quick, slow, err)
		}
	})
}

func TestQuickMessageIsTaken(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]bool{
		`{"from":"+12065550100","to":"+12065550123","body":"hello","key":"k"}`: true,
		" {\t\"to\" : \"x\"\r\n} ":                           true,
		`{"from":"a","is_mms":true}`:                         false,
		`{"body":"a\n"}`:                                     false,
		`{"body":"` + strings.Repeat("x", MaxPayload) + `"}`: false,
	} {
		if _, ok := quickMessage([]byte(text)); ok != want {
			t.Errorf("%.80s: got %t, want %t", text, ok, want)
		}
	}
}
