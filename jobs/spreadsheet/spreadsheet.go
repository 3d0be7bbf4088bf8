// Package spreadsheet makes values safe for CSV files that people open in a
// spreadsheet.
package spreadsheet

import "strings"

// Text keeps a spreadsheet from calculating with a value: one that begins as a formula
// does gets an apostrophe in front, which spreadsheets take for "this is text". See
// OWASP, CSV injection.
func Text(value string) string {
	if value != "" && strings.ContainsRune("=+-@\t\r\n", rune(value[0])) {
		return "'" + value
	}
	return value
}
