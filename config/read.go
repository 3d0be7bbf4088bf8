package config

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/sethvargo/go-envconfig"
)

// read fills cfg field by field. go-envconfig stops at the first value it
// cannot decode; so each field is a struct of its own to it.
func read(ctx context.Context, lookuper envconfig.Lookuper, cfg *Config) []*Problem {
	var problems []*Problem
	target := reflect.ValueOf(cfg).Elem()
	for _, v := range variables() {
		text, problem := v.find(lookuper)
		if problem != nil {
			problems = append(problems, problem)
			continue
		}
		if text == "" && v.fallback == "" {
			continue // go-envconfig would decode the empty text
		}
		one := reflect.New(reflect.StructOf([]reflect.StructField{v.field}))
		err := envconfig.ProcessWith(ctx, &envconfig.Config{
			Target:   one.Interface(),
			Lookuper: single{v.Name, text},
		})
		value := one.Elem().Field(0)
		if err == nil && text != "" {
			err = v.check(value)
		}
		if err != nil {
			problems = append(problems, v.problem(text, v.rule(err)))
			continue
		}
		target.FieldByIndex(v.field.Index).Set(value)
	}
	return problems
}

// single looks up one variable; an empty text is one that is not set.
type single struct{ name, text string }

func (s single) Lookup(key string) (string, bool) {
	return s.text, key == s.name && s.text != ""
}

// find returns the text of the variable, "" when its default holds.
func (v variable) find(lookuper envconfig.Lookuper) (string, *Problem) {
	text, set := lookuper.Lookup(v.Name)
	if path, _ := lookuper.Lookup(v.Name + fileSuffix); v.File && path != "" {
		if text != "" {
			return "", v.problem("", "must not be set together with "+v.Name+fileSuffix)
		}
		return v.readFile(path)
	}
	if text == "" && set {
		text = v.empty
	}
	if strings.TrimSpace(text) != text {
		return "", v.problem(text, "must not begin or end with white space")
	}
	return text, nil
}

const (
	fileSuffix = "_FILE"
	// maxFileSize is far above any secret and keeps a wrong path, /dev/zero
	// say, from filling the memory.
	maxFileSize = 64 << 10
)

func (v variable) readFile(path string) (string, *Problem) {
	refuse := func(rule string) (string, *Problem) {
		return "", &Problem{Variable: v.Name + fileSuffix, Value: path, Rule: rule}
	}
	file, err := os.Open(path)
	if err != nil {
		return refuse("must be the path of a file that can be read (" + reason(err) + ")")
	}
	defer file.Close()
	content, err := io.ReadAll(io.LimitReader(file, maxFileSize+1))
	if err != nil {
		return refuse("must be the path of a file that can be read (" + reason(err) + ")")
	}
	if len(content) > maxFileSize {
		return refuse(fmt.Sprintf("must be the path of a file of at most %d bytes", maxFileSize))
	}
	text := strings.TrimSuffix(strings.TrimSuffix(string(content), "\n"), "\r")
	switch {
	case text == "":
		return refuse("must be the path of a file that is not empty")
	case strings.TrimSpace(text) != text:
		return refuse("must be the path of a file without white space around its content (one newline at the end is fine)")
	}
	return text, nil
}

// reason is the error without its operation and path.
func reason(err error) string {
	if e, ok := errors.AsType[*os.PathError](err); ok {
		return e.Err.Error()
	}
	return err.Error()
}

// problem makes one about this variable; a secret value is left out.
func (v variable) problem(text, rule string) *Problem {
	if v.Secret {
		text = ""
	}
	return &Problem{Variable: v.Name, Value: text, Rule: rule}
}

// rule says in words what an error of decoding or checking is about.
func (v variable) rule(err error) string {
	if b, ok := errors.AsType[broken](err); ok {
		return string(b)
	}
	switch v.field.Type {
	case reflect.TypeFor[time.Duration]():
		return "must be a duration such as 90s, 15m or 2h30m" + v.between()
	case reflect.TypeFor[int]():
		return "must be a whole number" + v.between()
	case reflect.TypeFor[bool]():
		return "must be true or false"
	}
	return "must be " + v.Meaning
}

var errOutOfBounds = errors.New("out of bounds")

// check holds a decoded value against the tags min, max and oneof.
func (v variable) check(value reflect.Value) error {
	switch typed := value.Interface().(type) {
	case time.Duration:
		return within(typed, v.min, v.max, time.ParseDuration)
	case int:
		return within(typed, v.min, v.max, strconv.Atoi)
	case string:
		if len(v.oneOf) > 0 && !slices.Contains(v.oneOf, typed) {
			return broken("must be one of " + strings.Join(v.oneOf, ", "))
		}
	}
	return nil
}

// within panics on a tag that does not parse: that is a mistake in this file's
// neighbour, and every test finds it.
func within[T cmp.Ordered](value T, lowest, highest string, parse func(string) (T, error)) error {
	lo, errLo := parse(lowest)
	hi, errHi := parse(highest)
	if err := errors.Join(errLo, errHi); err != nil {
		panic(err)
	}
	if value < lo || value > hi {
		return errOutOfBounds
	}
	return nil
}

func (v variable) between() string {
	return " from " + v.min + " to " + v.max
}
