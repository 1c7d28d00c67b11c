package httpx

import (
	"bytes"
	"context"
	"fmt"
	"io/fs"
	"mime"
	"net/http"
	"path"
	"reflect"
	"strconv"
	"strings"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"github.com/IntunoAI/intuno-go/api"
	"github.com/IntunoAI/intuno-go/internal/fault"
	"github.com/IntunoAI/intuno-go/internal/principal"
)

// Docs makes a service describe itself: /openapi.json from its route table, and
// /docs, a page from Files that shows it.
type Docs struct {
	Title       string
	Version     string
	Description string
	Files       fs.FS // index.html and what it loads; no asset of a third party's server
}

// docsPolicy lets the page load its own files only.
const docsPolicy = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"

type docsInput struct {
	Asset string `path:"asset" pattern:"^[a-z0-9][a-z0-9.-]*$"`
}

// routes are the rows of the description and its page. description is read when
// asked for: the table is not complete yet.
func (d Docs) routes(description func() ([]byte, error)) []Route {
	serve := func(name string) (Reply, error) {
		content, err := fs.ReadFile(d.Files, name)
		if err != nil {
			return Reply{}, fault.Missing("page")
		}
		return Reply{Raw: content, Header: http.Header{
			"Content-Type":            {mime.TypeByExtension(path.Ext(name))},
			"Content-Security-Policy": {docsPolicy},
			"Cache-Control":           {"no-cache"},
		}}, nil
	}
	return []Route{
		Get("/openapi.json", Public, func(context.Context, principal.Principal, *struct{}) (Reply, error) {
			text, err := description()
			return Reply{Raw: text}, err
		}, Doc("This description")),
		Get("/docs", Public, func(context.Context, principal.Principal, *struct{}) (Reply, error) {
			return serve("index.html")
		}, Doc("The description as a page")),
		Get("/docs/{asset}", Public, func(_ context.Context, _ principal.Principal, in *docsInput) (Reply, error) {
			return serve(in.Asset)
		}, Doc("A file of the page")),
	}
}

// describe renders the route table as OpenAPI 3.1.
func (s *Server) describe(d Docs) ([]byte, error) {
	doc := &huma.OpenAPI{
		OpenAPI: "3.1.0",
		Info:    &huma.Info{Title: d.Title, Version: d.Version, Description: d.Description},
		Paths:   map[string]*huma.PathItem{},
		Components: &huma.Components{Schemas: s.schemas.registry, SecuritySchemes: map[string]*huma.SecurityScheme{
			"bearer":      {Type: "http", Scheme: "bearer", BearerFormat: "JWT"},
			"apiKey":      {Type: "apiKey", In: "header", Name: "X-API-Key"},
			"serviceKey":  {Type: "apiKey", In: "header", Name: "X-Service-Key"},
			"onBehalfOf":  {Type: "apiKey", In: "header", Name: "X-On-Behalf-Of", Description: "The user's UUID, together with X-Service-Key."},
			"entityOwner": {Type: "apiKey", In: "header", Name: "X-User-Id"},
		}},
	}
	for i := range s.options.Routes {
		r := &s.options.Routes[i]
		item := doc.Paths[r.Pattern]
		if item == nil {
			item = &huma.PathItem{}
			doc.Paths[r.Pattern] = item
		}
		op := s.operation(r)
		switch r.Method {
		case http.MethodGet:
			item.Get = op
		case http.MethodPost:
			item.Post = op
		case http.MethodPut:
			item.Put = op
		case http.MethodPatch:
			item.Patch = op
		case http.MethodDelete:
			item.Delete = op
		}
	}
	var b bytes.Buffer
	if err := encodeJSON(&b, doc); err != nil {
		return nil, fmt.Errorf("render the API description: %w", err)
	}
	return b.Bytes(), nil
}

func (s *Server) operation(r *Route) *huma.Operation {
	segments := strings.Split(strings.Trim(r.Pattern, "/"), "/")
	op := &huma.Operation{
		OperationID: strings.ToLower(r.Method) + strings.NewReplacer("/", "-", "{", "", "}", "", ".", "-").Replace(r.Pattern),
		Summary:     r.Summary,
		Tags:        []string{segments[0]},
		Security:    security(r.Access),
		Extensions:  map[string]any{"x-access": r.Access.String()},
		Responses: map[string]*huma.Response{
			strconv.Itoa(r.Success): s.success(r),
			"default":               {Description: "Error", Content: jsonContent(s.schemas.of(reflect.TypeFor[api.Error]()))},
		},
	}
	if r.streams {
		op.Responses[strconv.Itoa(http.StatusOK)] = &huma.Response{Description: http.StatusText(http.StatusOK),
			Content: map[string]*huma.MediaType{EventStream: {Schema: &huma.Schema{Type: huma.TypeString}}}}
	}
	for i := range r.params {
		p := &r.params[i]
		if p.in == "peer" {
			continue
		}
		op.Parameters = append(op.Parameters, &huma.Param{Name: p.name, In: p.in, Schema: p.schema,
			Required: p.in == "path" || p.in == "query" && p.required() && !p.hasDefault})
	}
	if r.body != nil {
		op.RequestBody = &huma.RequestBody{Required: !r.body.optional, Content: jsonContent(r.body.schema)}
	}
	return op
}

func (s *Server) success(r *Route) *huma.Response {
	response := &huma.Response{Description: http.StatusText(r.Success)}
	if r.output != reflect.TypeFor[None]() && r.output != reflect.TypeFor[Reply]() {
		response.Content = jsonContent(s.schemas.of(r.output))
	}
	return response
}

func jsonContent(schema *huma.Schema) map[string]*huma.MediaType {
	return map[string]*huma.MediaType{"application/json": {Schema: schema}}
}

// security lists the alternatives of an access class.
func security(a Access) []map[string][]string {
	bearer := map[string][]string{"bearer": {}}
	key := map[string][]string{"apiKey": {}}
	service := map[string][]string{"serviceKey": {}, "onBehalfOf": {}}
	switch a {
	case User, UserOrBearerKey, KeyMgmt:
		return []map[string][]string{bearer, key}
	case JWT, Admin:
		return []map[string][]string{bearer}
	case Delegable:
		return []map[string][]string{bearer, key, service}
	case Host:
		return []map[string][]string{{"apiKey": {}, "entityOwner": {}}}
	}
	return []map[string][]string{{}}
}

// aliases tells the schema generator what the wire types of package api look like.
func (s *schemas) aliases() {
	s.registry.RegisterTypeAlias(reflect.TypeFor[api.Time](), reflect.TypeFor[time.Time]())
	s.registry.RegisterTypeAlias(reflect.TypeFor[api.Seconds](), reflect.TypeFor[float64]())
	s.registry.RegisterTypeAlias(reflect.TypeFor[api.Object](), reflect.TypeFor[map[string]any]())
}
