package config

import (
	"fmt"
	"regexp"
)

// Problem is one variable that breaks one rule.
type Problem struct {
	Variable string
	// Value is as it was given; empty when it is secret or was not given.
	Value string
	// Rule says what the value must be, in the imperative: "must be …".
	Rule string
}

func (p *Problem) Error() string {
	if p.Value == "" {
		return p.Variable + ": " + p.Rule
	}
	return fmt.Sprintf("%s: %s, got %q", p.Variable, p.Rule, userInfo.ReplaceAllString(p.Value, "//…@"))
}

// userInfo is where a URL has a name and a password, which are nobody's business.
var userInfo = regexp.MustCompile(`//[^/]*@`)

// broken is the error of this package's own decoders: the rule that a value
// breaks. It never quotes the value, which may be secret.
type broken string

func (b broken) Error() string { return string(b) }
