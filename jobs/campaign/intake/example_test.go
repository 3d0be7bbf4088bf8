package intake_test

import (
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/flowroute-worker/flowroute-worker/jobs/campaign/intake"
)

func Example() {
	file := strings.NewReader("Phone;First Name\n(206) 555-0100;Ann\n5550101;Bob\n1.2065550102E+10;Charlotte\n")
	rows, err := intake.New(file, intake.Options{Fields: []intake.Field{{Name: "first_name"}}})
	if err != nil {
		fmt.Println(err) // the file as a whole
		return
	}
	for {
		row, err := rows.Next()
		if errors.Is(err, io.EOF) {
			return
		}
		if err != nil {
			fmt.Println(err)
			return
		}
		if row.OK() {
			fmt.Printf("line %d: %v, %s\n", row.Line, row.To, row.Values[0])
		} else {
			fmt.Printf("line %d: %v\n", row.Line, row.Problem)
		}
	}
	// Output:
	// line 2: +12065550100, Ann
	// line 3: Phone: has no country code: it needs +, or ten digits with an area code (want a number like +12065550100)
	// line 4: +12065550102, Charlotte
}
