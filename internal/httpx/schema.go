package httpx

import (
	"fmt"
	"reflect"
	"regexp"
	"strconv"
	"strings"

	"github.com/danielgtaylor/huma/v2"

	"github.com/IntunoAI/intuno-go/api"
)

// Schema extensions that JSON Schema has no keyword for. They are listed in the
// API description under these names.
const (
	extMaxBytes = "x-max-bytes" // of compact JSON
)

// schemas builds JSON Schemas from Go types with huma's generator. The same
// schemas validate requests and are published in the API description, so the two
// cannot disagree.
type schemas struct {
	registry huma.Registry
	patterns map[string]*regexp.Regexp
}

func newSchemas() *schemas {
	s := &schemas{
		registry: huma.NewMapRegistry("#/components/schemas/", huma.DefaultSchemaNamer),
		patterns: map[string]*regexp.Regexp{},
	}
	s.aliases()
	return s
}

// of returns the schema of t, by reference for named structs.
func (s *schemas) of(t reflect.Type) *huma.Schema {
	schema := s.registry.Schema(t, true, "")
	if schema.Type == huma.TypeArray {
		schema.Nullable = false // as in tuneField: a list is never null
	}
	s.tune(t, map[reflect.Type]bool{})
	return schema
}

// resolve follows a reference.
func (s *schemas) resolve(schema *huma.Schema) *huma.Schema {
	for schema.Ref != "" {
		schema = s.registry.SchemaFromRef(schema.Ref)
	}
	return schema
}

// tune applies the tags that huma does not know (itemMinLength, itemMaxLength,
// itemPattern, itemFormat, itemEnum, maxBytes) and undoes its default that every list may be null.
func (s *schemas) tune(t reflect.Type, seen map[reflect.Type]bool) {
	for t.Kind() == reflect.Pointer || t.Kind() == reflect.Slice {
		t = t.Elem()
	}
	if t.Kind() != reflect.Struct || seen[t] {
		return
	}
	seen[t] = true
	schema := s.resolve(s.registry.Schema(t, true, ""))
	if schema.AdditionalProperties == false {
		schema.AdditionalProperties = nil // answers may grow; what a body may hold is Options.ClosedBodies
	}
	for i := range t.NumField() {
		f := t.Field(i)
		name, _, _ := strings.Cut(f.Tag.Get("json"), ",")
		if f.Anonymous && name == "" {
			s.tune(f.Type, seen)
		}
		prop := schema.Properties[name]
		if prop == nil {
			continue
		}
		s.tuneField(prop, f.Tag)
		if f.Type == reflect.TypeFor[api.Object]() {
			prop.Nullable = true
		}
		if f.Type.Kind() == reflect.Pointer && prop.Ref == "" && !strings.Contains(f.Tag.Get("json"), ",omit") {
			prop.Nullable = true
		}
		s.tune(f.Type, seen)
	}
}

func (s *schemas) tuneField(prop *huma.Schema, tag reflect.StructTag) {
	if prop.Type == huma.TypeArray {
		prop.Nullable = tag.Get("nullable") == "true"
		s.tuneItems(prop.Items, tag)
	}
	if v, err := strconv.Atoi(tag.Get("maxBytes")); err == nil {
		prop.Extensions = map[string]any{extMaxBytes: v}
	}
}

func (s *schemas) tuneItems(items *huma.Schema, tag reflect.StructTag) {
	if v, err := strconv.Atoi(tag.Get("itemMinLength")); err == nil {
		items.MinLength = &v
	}
	if v, err := strconv.Atoi(tag.Get("itemMaxLength")); err == nil {
		items.MaxLength = &v
	}
	if v := tag.Get("itemPattern"); v != "" {
		items.Pattern = v
	}
	if v := tag.Get("itemFormat"); v != "" {
		items.Format = v
	}
	if v := tag.Get("itemEnum"); v != "" {
		items.Enum = nil
		for value := range strings.SplitSeq(v, ",") {
			items.Enum = append(items.Enum, value)
		}
	}
}

// pattern compiles a schema's pattern once, while the table is built.
func (s *schemas) pattern(expr string) (*regexp.Regexp, error) {
	if re := s.patterns[expr]; re != nil {
		return re, nil
	}
	re, err := regexp.Compile(expr)
	if err != nil {
		return nil, fmt.Errorf("pattern %q: %w", expr, err)
	}
	s.patterns[expr] = re
	return re, nil
}

// compile compiles every pattern below schema, so that validation never writes to
// the cache.
func (s *schemas) compile(schema *huma.Schema, seen map[*huma.Schema]bool) error {
	schema = s.resolve(schema)
	if seen[schema] {
		return nil
	}
	seen[schema] = true
	if schema.Pattern != "" {
		if _, err := s.pattern(schema.Pattern); err != nil {
			return err
		}
	}
	if schema.Items != nil {
		if err := s.compile(schema.Items, seen); err != nil {
			return err
		}
	}
	for _, prop := range schema.Properties {
		if err := s.compile(prop, seen); err != nil {
			return err
		}
	}
	return nil
}

// Schema implements huma.SchemaProvider: any JSON object.
func (Object) Schema(huma.Registry) *huma.Schema {
	return &huma.Schema{Type: huma.TypeObject, AdditionalProperties: true}
}

// Schema implements huma.SchemaProvider: the schema of T.
func (Opt[T]) Schema(r huma.Registry) *huma.Schema {
	return r.Schema(reflect.TypeFor[T](), true, "")
}
