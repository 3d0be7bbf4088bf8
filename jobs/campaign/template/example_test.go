package template_test

import (
	"fmt"

	"github.com/flowroute-worker/flowroute-worker/jobs/campaign/template"
)

func Example() {
	t, err := template.Parse(`Hi {{name|default "there"}}, it’s ready. Code {{code}}.`)
	if err != nil {
		fmt.Println(err)
		return
	}
	// Values in the order of t.Fields(): this row has no name.
	text, err := t.Append(nil, [][]byte{nil, []byte("4711")})
	fmt.Printf("%s %v\n", text, err)
	_, err = t.Append(nil, [][]byte{[]byte("Ann"), nil})
	fmt.Println(err)
	for _, costly := range t.Costly() {
		fmt.Printf("%q, line %d, column %d: write %q\n", costly.Char, costly.Line, costly.Column, costly.Plain)
	}
	// Output:
	// Hi there, it’s ready. Code 4711. <nil>
	// code: is missing or empty: fill it in, or write {{code|default "…"}} in the template
	// '’', line 1, column 32: write "'"
}
