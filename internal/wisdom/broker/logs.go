package broker

import (
	"context"
	"fmt"

	"github.com/IntunoAI/intuno-go/internal/principal"
)

// Logs lists attempts that p's user made, or that others made at agents of theirs,
// newest first. Of the latter they see neither who asked nor what was said (contract
// §5.6).
func (s *Service) Logs(ctx context.Context, p principal.Principal, q LogQuery) ([]Log, error) {
	rows, err := s.config.Store.Logs(ctx, p.User, q)
	if err != nil {
		return nil, fmt.Errorf("list invocations: %w", err)
	}
	for i := range rows {
		if rows[i].Caller != p.User {
			rows[i] = rows[i].asOwner()
		}
	}
	return rows, nil
}

// asOwner is what the owner of the agent sees of somebody else's row.
func (l Log) asOwner() Log {
	l.Caller, l.Actor, l.Integration, l.Conversation, l.Message = "", principal.Actor{}, "", "", ""
	l.Request, l.Response = nil, nil
	return l
}
