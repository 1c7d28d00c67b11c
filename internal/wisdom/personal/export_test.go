package personal

import (
	"context"
	"sync"
)

// SettleDue settles what is due now, as many at a time as Run does.
func (s *Service) SettleDue(ctx context.Context) (more bool, err error) {
	const batch = 32
	claims, err := s.claimDue(ctx, batch)
	slots := make(chan Claim)
	var working sync.WaitGroup
	for range min(settleAtOnce, len(claims)) {
		working.Go(func() {
			for c := range slots {
				s.settle(ctx, c)
			}
		})
	}
	for _, c := range claims {
		slots <- c
	}
	close(slots)
	working.Wait()
	return len(claims) == batch, err
}
