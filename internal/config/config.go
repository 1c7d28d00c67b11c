// Package config turns environment variables into a struct with env tags, and has
// the checks that both services make of their variables. Every fault is one line
// that names the variable and what to change; none repeats a value, because a
// value in the wrong variable may be a secret.
//
// What is not here: the variables themselves (each service declares its own
// Config) and the reading of the process environment (package cli).
package config

import (
	"errors"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/IntunoAI/intuno-go/internal/secret"
	"github.com/caarlos0/env/v11"
)

// Parse fills dst, a pointer to a struct with env and envDefault tags, from vars.
// A blank value counts as unset. A time.Duration is written in seconds, "30" or
// "0.5". A variable that cannot be read is one fault, and its field gets the
// default, so that later checks do not report it a second time.
func Parse(dst any, vars map[string]string) []error {
	vars = Drop(vars)
	var faults []error
	// Twice is enough: the second pass has none of the variables that failed.
	for range 2 {
		bad := unreadable(dst, parse(dst, vars))
		for _, f := range bad {
			faults = append(faults, fmt.Errorf("%s: must be %s", f.name, wanted(f.typ)))
			delete(vars, f.name)
		}
		if len(bad) == 0 {
			break
		}
	}
	return faults
}

// Drop returns vars without the blank ones: blank is unset, everywhere.
func Drop(vars map[string]string) map[string]string {
	kept := maps.Clone(vars)
	if kept == nil {
		kept = map[string]string{}
	}
	maps.DeleteFunc(kept, func(_, value string) bool { return strings.TrimSpace(value) == "" })
	return kept
}

func parse(dst any, vars map[string]string) error {
	return env.ParseWithOptions(dst, env.Options{
		Environment: vars,
		FuncMap:     map[reflect.Type]env.ParserFunc{reflect.TypeFor[time.Duration](): seconds},
	})
}

// seconds reads a decimal number of seconds.
func seconds(text string) (any, error) {
	n, err := strconv.ParseFloat(strings.TrimSpace(text), 64)
	const longest = 366 * 24 * 3600 // keeps the product within a Duration, and refuses NaN and Inf
	if err != nil || !(n > -longest && n < longest) {
		return nil, errors.New("not a number of seconds")
	}
	return time.Duration(n * float64(time.Second)), nil
}

type field struct {
	name  string // of the variable
	typ   reflect.Type
	value reflect.Value
}

// fields lists the variables of the struct that v points to, nested structs included.
func fields(v any) []field {
	var list []field
	var walk func(reflect.Value)
	walk = func(s reflect.Value) {
		for i := range s.NumField() {
			sf := s.Type().Field(i)
			name, _, _ := strings.Cut(sf.Tag.Get("env"), ",")
			switch {
			case !sf.IsExported():
			case name != "":
				list = append(list, field{name, sf.Type, s.Field(i)})
			case sf.Type.Kind() == reflect.Struct:
				walk(s.Field(i))
			}
		}
	}
	walk(reflect.Indirect(reflect.ValueOf(v)))
	return list
}

// unreadable finds the variables that err, an error of the env library, is about.
// The library names the field, so the names of fields must be unique.
func unreadable(dst any, err error) []field {
	if err == nil {
		return nil
	}
	var all env.AggregateError
	if !errors.As(err, &all) {
		all.Errors = []error{err}
	}
	names := map[string]string{} // field → variable
	var collect func(reflect.Type)
	collect = func(t reflect.Type) {
		for i := range t.NumField() {
			sf := t.Field(i)
			if name := sf.Tag.Get("env"); name != "" {
				names[sf.Name] = name
			} else if sf.Type.Kind() == reflect.Struct {
				collect(sf.Type)
			}
		}
	}
	collect(reflect.TypeOf(dst).Elem())
	var bad []field
	for _, e := range all.Errors {
		var p env.ParseError
		if errors.As(e, &p) {
			bad = append(bad, field{name: names[p.Name], typ: p.Type})
		}
	}
	return bad
}

// wanted says in words what a variable of that type must look like.
func wanted(t reflect.Type) string {
	switch {
	case t == reflect.TypeFor[time.Duration]():
		return "a number of seconds, such as 30"
	case t.Kind() == reflect.Bool:
		return "true or false"
	case t.Kind() == reflect.Int, t.Kind() == reflect.Int64:
		return "a whole number"
	case t.Kind() == reflect.Float64:
		return "a number"
	}
	return "readable"
}

// Setting is one variable as an operator may see it.
type Setting struct {
	Name  string `json:"name"`
	Value string `json:"value"`
}

// Describe lists the variables of a Config in the order of their names, secrets
// only as "[set]" or "[unset]".
func Describe(cfg any) []Setting {
	var list []Setting
	for _, f := range fields(cfg) {
		var text string
		switch v := f.value.Interface().(type) {
		case secret.String:
			text = "[set]"
			if v.Blank() {
				text = "[unset]"
			}
		case time.Duration:
			text = strconv.FormatFloat(v.Seconds(), 'f', -1, 64)
		default:
			text = fmt.Sprint(v)
		}
		list = append(list, Setting{f.name, text})
	}
	slices.SortFunc(list, func(a, b Setting) int { return strings.Compare(a.Name, b.Name) })
	return slices.CompactFunc(list, func(a, b Setting) bool { return a.Name == b.Name })
}

// Names returns the variables of a Config in the order of its fields.
func Names(cfg any) []string {
	var names []string
	for _, f := range fields(cfg) {
		names = append(names, f.name)
	}
	return names
}
