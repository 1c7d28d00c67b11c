package broker

import (
	"context"
	"fmt"

	"github.com/IntunoAI/intuno-go/internal/fault"
	"github.com/IntunoAI/intuno-go/internal/principal"
)

// Logs lists attempts that p's user made, or that others made at agents of theirs,
// newest first. Of the latter they see neither who asked nor what was said (contract
// §5.6). Payloads that are too large for a list are left out.
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

// Payloads is a row of Logs with the payloads that were left out of the list. Of a row that
// somebody else made there are none. Fault: NotFound, if the row is gone.
func (s *Service) Payloads(ctx context.Context, p principal.Principal, l Log) (Log, error) {
	if !l.Large || l.Caller != p.User {
		return l, nil
	}
	request, response, err := s.config.Store.Payloads(ctx, p.User, l.ID)
	if fault.Is(err, fault.NotFound) {
		return Log{}, fault.Missing("Invocation").Because(err)
	}
	if err != nil {
		return Log{}, fmt.Errorf("read what was said in an invocation: %w", err)
	}
	l.Request, l.Response, l.Large = request, response, false
	return l, nil
}

// asOwner is what the owner of the agent sees of somebody else's row.
func (l Log) asOwner() Log {
	l.Caller, l.Actor, l.Integration, l.Conversation, l.Message = "", principal.Actor{}, "", "", ""
	l.Request, l.Response, l.Large = nil, nil, false
	return l
}
