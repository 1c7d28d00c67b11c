package personal

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"

	"github.com/IntunoAI/intuno-go/internal/fault"
	"github.com/IntunoAI/intuno-go/internal/id"
	"github.com/IntunoAI/intuno-go/internal/principal"
)

// Send gives the entity a message and waits for its answer. It counts against the
// user's message limits unless the host refuses it or repeats a stored answer.
func (s *Service) Send(ctx context.Context, p principal.Principal, name, content, once string) (a Answer, err error) {
	call, counted, err := s.message(ctx, p, SendMessage, name, content, once)
	if err != nil {
		return Answer{}, err
	}
	a, err = s.do(ctx, p, call)
	if a.Replayed || err != nil && NothingDone(err) {
		s.giveBack(ctx, p.User, counted)
	}
	return a, err
}

// SendStream is Send with the answer as an event stream.
func (s *Service) SendStream(ctx context.Context, p principal.Principal, name, content, once string) (Stream, error) {
	call, counted, err := s.message(ctx, p, StreamMessage, name, content, once)
	if err != nil {
		return Stream{}, err
	}
	stream, err := s.open(ctx, p, call)
	if stream.Replayed || err != nil && NothingDone(err) {
		s.giveBack(ctx, p.User, counted)
	}
	return stream, err
}

// message counts a message and makes the call for it.
func (s *Service) message(ctx context.Context, p principal.Principal, op Op, name, content, once string) (Call, Counters, error) {
	body, err := json.Marshal(map[string]string{"content": content})
	if err != nil {
		return Call{}, Counters{}, fmt.Errorf("encode message: %w", err)
	}
	leave, err := s.turns.wait(ctx, p.User)
	if err != nil {
		return Call{}, Counters{}, err
	}
	defer leave()
	var counted Counters
	err = s.Store.ChangeCounters(ctx, p.User, func(plan string, c Counters) (_ Counters, err error) {
		counted, err = c.count(s.Now(), s.limits(plan))
		return counted, err
	})
	if err != nil {
		return Call{}, Counters{}, fmt.Errorf("count message: %w", err)
	}
	return Call{Op: op, Name: name, Once: once, Body: body}, counted, nil
}

func (s *Service) giveBack(ctx context.Context, user id.User, counted Counters) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), longestChange)
	defer cancel()
	leave, err := s.turns.wait(ctx, user)
	if err == nil {
		defer leave()
		err = s.Store.ChangeCounters(ctx, user, func(_ string, c Counters) (Counters, error) {
			return c.giveBack(counted), nil
		})
	}
	if err != nil {
		s.Log.ErrorContext(ctx, "message not given back", "user", string(user), "error", err)
	}
}

// open makes a call that is answered with a stream.
func (s *Service) open(ctx context.Context, p principal.Principal, c Call) (Stream, error) {
	stream, err := s.Host.Open(ctx, s.call(p, c))
	if err != nil {
		return Stream{}, s.missed(ctx, p, c.Name, err)
	}
	return stream, nil
}

// Events follows the event stream of a message, from behind the event that the
// client saw last: the value of Last-Event-ID, "" for none.
func (s *Service) Events(ctx context.Context, p principal.Principal, name string, message id.Message, last string) (Stream, error) {
	c := Call{Op: FollowMessage, Name: name, Message: message}
	if last != "" {
		n, err := strconv.ParseUint(last, 10, 63)
		if err != nil && !errors.Is(err, strconv.ErrRange) { // a number beyond the range is cut to it
			return Stream{}, fault.New(fault.BadRequest, "bad_request", "Last-Event-ID must be a non-negative integer")
		}
		c.After = strconv.FormatUint(n, 10)
	}
	return s.open(ctx, p, c)
}

// Messages returns a page of the history, oldest first: the newest one, or the one
// before a message.
func (s *Service) Messages(ctx context.Context, p principal.Principal, name string, limit int, before id.Message) (Answer, error) {
	return s.list(ctx, p, Call{Op: ListMessages, Name: name, Limit: limit, Before: before}, false)
}

// Memories returns memories by key.
func (s *Service) Memories(ctx context.Context, p principal.Principal, name string, limit int, prefix, after string) (Answer, error) {
	return s.list(ctx, p, Call{Op: ListMemories, Name: name, Limit: limit, Prefix: prefix, After: after}, false)
}

// Memory returns one memory.
func (s *Service) Memory(ctx context.Context, p principal.Principal, name, key string) (Answer, error) {
	return s.do(ctx, p, Call{Op: GetMemory, Name: name, Key: key})
}

// PutMemory sets one memory to {"value": …}. Answer.Status 201 says that it is new.
func (s *Service) PutMemory(ctx context.Context, p principal.Principal, name, key string, body []byte) (Answer, error) {
	return s.do(ctx, p, Call{Op: PutMemory, Name: name, Key: key, Body: body})
}

// DeleteMemory removes one memory of an entity that is known to be the user's.
func (s *Service) DeleteMemory(ctx context.Context, p principal.Principal, name, key string) error {
	if _, err := s.Get(ctx, p, name); err != nil {
		return err
	}
	_, err := s.do(ctx, p, Call{Op: DeleteMemory, Name: name, Key: key})
	return err
}

// Forget removes every memory of an entity that is known to be the user's.
func (s *Service) Forget(ctx context.Context, p principal.Principal, name string) error {
	if _, err := s.Get(ctx, p, name); err != nil {
		return err
	}
	_, err := s.do(ctx, p, Call{Op: ForgetMemories, Name: name})
	return err
}
