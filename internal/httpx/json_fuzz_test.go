package httpx

import (
	"bytes"
	"encoding/json"
	"testing"
)

// FuzzParseJSON: whatever is accepted is JSON for encoding/json too, within the
// depth, and survives being written again.
func FuzzParseJSON(f *testing.F) {
	for _, seed := range []string{`{}`, `[]`, `null`, `"a"`, `1e9`, `{"a":[1,{"b":null}]}`, `{"a":1,"a":2}`, `{"a":1} x`, "\"\xff\"", `"\ud800"`, `[[[[[[[[]]]]]]]]`, ``, ` `, `{"a"`, `01`, `-`, `tru`} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		tree, err := parseJSON(data)
		if err != nil {
			return
		}
		if !json.Valid(data) {
			t.Fatalf("accepted %q, which encoding/json refuses", data)
		}
		if depth(tree) > maxDepth {
			t.Fatalf("accepted depth %d", depth(tree))
		}
		compact, err := compactJSON(data)
		if err != nil {
			t.Fatalf("cannot compact %q: %v", data, err)
		}
		again, err := parseJSON(compact)
		if err != nil {
			t.Fatalf("%q became %q, which is refused: %v", data, compact, err)
		}
		var a, b bytes.Buffer
		if encodeJSON(&a, tree) != nil || encodeJSON(&b, again) != nil || !bytes.Equal(a.Bytes(), b.Bytes()) {
			t.Fatalf("%q and %q mean different things", data, compact)
		}
	})
}

func depth(x any) int {
	deepest := 0
	switch x := x.(type) {
	case []any:
		for _, item := range x {
			deepest = max(deepest, depth(item))
		}
		return deepest + 1
	case map[string]any:
		for _, item := range x {
			deepest = max(deepest, depth(item))
		}
		return deepest + 1
	}
	return 0
}
