package config

import (
	"reflect"
	"strings"
)

// Variable describes one environment variable, for help texts and tables.
type Variable struct {
	Name string
	// Default is what holds when it is not set, in words where the value
	// would say little; empty when there is none.
	Default string
	Meaning string
	// Secret says that its value is never printed.
	Secret bool
	// File says that NAME_FILE may hold the path of a file with the value.
	File bool
}

// Variables lists every variable in the order of [Config].
func Variables() []Variable {
	var list []Variable
	for _, v := range variables() {
		list = append(list, v.Variable)
	}
	return list
}

// variable is a field of Config with its tags read.
type variable struct {
	Variable
	field    reflect.StructField
	fallback string // the default as go-envconfig reads it
	min, max string
	oneOf    []string
	empty    string
}

func variables() []variable {
	var list []variable
	for field := range reflect.TypeFor[Config]().Fields() {
		tag := field.Tag
		name, fallback, _ := strings.Cut(tag.Get("env"), ",default=")
		v := variable{
			Variable: Variable{
				Name:    name,
				Default: fallback,
				Meaning: tag.Get("meaning"),
				Secret:  tag.Get("secret") == "true",
				File:    tag.Get("file") == "true",
			},
			field:    field,
			fallback: fallback,
			min:      tag.Get("min"),
			max:      tag.Get("max"),
			oneOf:    strings.Fields(tag.Get("oneof")),
			empty:    tag.Get("empty"),
		}
		if shown, ok := tag.Lookup("shown"); ok {
			v.Default = shown
		}
		list = append(list, v)
	}
	return list
}
