package personal

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"

	"github.com/IntunoAI/intuno-go/internal/fault"
	"github.com/IntunoAI/intuno-go/internal/principal"
)

// exportHead is how much of an export is read to find whose it is. The entity comes
// before the lists that can be long (contract §10.6).
const exportHead = 1 << 20

// Export returns everything the host has about an entity: a JSON object of any size.
func (s *Service) Export(ctx context.Context, p principal.Principal, name string) (Stream, error) {
	stream, err := s.open(ctx, p, Call{Op: ExportEntity, Name: name})
	if err != nil {
		return Stream{}, err
	}
	head, entity, err := peekEntity(stream.Body)
	if err == nil && (entity == nil || ownerIn(entity) == string(p.User)) {
		stream.Body = resumed{io.MultiReader(bytes.NewReader(head), stream.Body), stream.Body}
		return stream, nil
	}
	_ = stream.Body.Close() // nothing of it is used
	if err != nil {
		return Stream{}, unusable(fmt.Errorf("read export: %w", err))
	}
	s.foreign(ctx, p, ExportEntity, name)
	return Stream{}, fault.Missing("Entity")
}

// resumed is a body of which a part was read before.
type resumed struct {
	io.Reader
	io.Closer
}

// peekEntity reads an object as far as its member "entity", or exportHead bytes of
// it, or all of it, and returns what it read. entity is nil if it did not come.
func peekEntity(body io.Reader) (head []byte, entity map[string]json.RawMessage, err error) {
	var read bytes.Buffer
	limited := &io.LimitedReader{R: body, N: exportHead}
	d := json.NewDecoder(io.TeeReader(limited, &read))
	start, err := d.Token()
	if err == nil && start != json.Delim('{') {
		return nil, nil, errors.New("no JSON object")
	}
	for err == nil && d.More() {
		var name json.Token
		if name, err = d.Token(); err != nil {
			break
		}
		if name == "entity" {
			err = d.Decode(&entity)
			break
		}
		var skipped json.RawMessage
		err = d.Decode(&skipped)
	}
	if err != nil && limited.N > 0 {
		return nil, nil, err
	}
	return read.Bytes(), entity, nil
}

// ownerIn returns the owner_user_id of an entity, "" without one.
func ownerIn(entity map[string]json.RawMessage) string {
	var owner string
	if json.Unmarshal(entity["owner_user_id"], &owner) != nil {
		return ""
	}
	return owner
}
