package config

import (
	"fmt"
	"log/slog"
)

// Secret is a text that shows itself only to [Secret.Reveal]: every way of
// printing, logging or marshalling it shows "[secret]", or nothing when it is
// empty. The zero value is the empty secret.
type Secret struct{ text string }

const redacted = "[secret]"

// NewSecret wraps a text.
func NewSecret(text string) Secret { return Secret{text: text} }

// Reveal returns the text.
func (s Secret) Reveal() string { return s.text }

// IsZero says whether the secret is empty.
func (s Secret) IsZero() bool { return s.text == "" }

func (s Secret) String() string {
	if s.IsZero() {
		return ""
	}
	return redacted
}

// GoString is for %#v.
func (s Secret) GoString() string { return fmt.Sprintf("config.Secret(%q)", s.String()) }

// Format is for every other verb, %x and %d included.
func (s Secret) Format(f fmt.State, verb rune) {
	text := s.String()
	if verb == 'v' && f.Flag('#') {
		text = s.GoString()
	}
	_, _ = f.Write([]byte(text)) // fmt.State never fails
}

// MarshalText is for JSON and other encodings.
func (s Secret) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

// LogValue is for slog.
func (s Secret) LogValue() slog.Value { return slog.StringValue(s.String()) }

// EnvDecode is for go-envconfig.
func (s *Secret) EnvDecode(text string) error {
	s.text = text
	return nil
}
