package config

import (
	"fmt"
	"strings"
)

// Token lets one program or person in.
type Token struct {
	Name  string
	Value Secret
}

// Tokens are all of them.
type Tokens []Token

// minTokenLength is what cannot be guessed at the speed of a web server.
const minTokenLength = 16

// EnvDecode is for go-envconfig. Its errors count entries and quote nothing:
// whoever swaps name and token has the token in the name's place.
func (t *Tokens) EnvDecode(text string) error {
	var tokens Tokens
	for entry := range strings.SplitSeq(text, ",") {
		number := len(tokens) + 1
		name, value, found := strings.Cut(entry, ":")
		switch {
		case !found:
			return broken(fmt.Sprintf("must be name:token,name:token; entry %d has no colon", number))
		case name == "" || strings.ContainsFunc(name, notInName):
			return broken(fmt.Sprintf("must be name:token,name:token with names of letters, digits, dot, dash and underscore; entry %d is not", number))
		case len(value) < minTokenLength:
			return broken(fmt.Sprintf("must have tokens of at least %d characters; entry %d is shorter", minTokenLength, number))
		case strings.ContainsFunc(value, notVisible):
			return broken(fmt.Sprintf("must have tokens of visible ASCII characters; entry %d is not", number))
		}
		for i, other := range tokens {
			if other.Name == name || other.Value.Reveal() == value {
				return broken(fmt.Sprintf("must not have a name or token twice; entries %d and %d do", i+1, number))
			}
		}
		tokens = append(tokens, Token{Name: name, Value: NewSecret(value)})
	}
	*t = tokens
	return nil
}

func notInName(r rune) bool {
	return !isAlphanumeric(r) && !strings.ContainsRune("._-", r)
}

func notVisible(r rune) bool { return r <= ' ' || r > '~' }

func isAlphanumeric(r rune) bool {
	return 'a' <= r && r <= 'z' || 'A' <= r && r <= 'Z' || '0' <= r && r <= '9'
}
