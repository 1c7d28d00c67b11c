package auth

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"net/netip"
	"time"

	"github.com/IntunoAI/intuno-go/internal/fault"
)

// Failed logins that are allowed within loginWindow.
const (
	accountFailures = 10
	peerFailures    = 100
	loginWindow     = 15 * time.Minute

	storePatience = 5 * time.Second // with the database, for work that nobody waits for
)

// attempts is a try at a password that has been admitted: counted as a failure,
// against the account and against the peer, until it turns out not to be one.
type attempts struct {
	store         Store
	account, peer Attempt
}

// admit counts a try before any work is done for it, so that no number of parallel
// tries gets past the limit. A peer over its limit cannot use up an account's.
func (s *Service) admit(ctx context.Context, fold, peer string) (attempts, error) {
	now := s.now()
	t := attempts{
		store:   s.store,
		account: newAttempt("account", fold, accountFailures, now),
		peer:    newAttempt("peer", network(peer), peerFailures, now),
	}
	if err := count(ctx, s.store, t.peer); err != nil {
		return attempts{}, err
	}
	if err := count(ctx, s.store, t.account); err != nil {
		ctx, cancel := detached(ctx)
		defer cancel()
		return attempts{}, errors.Join(err, s.store.ReturnAttempt(ctx, t.peer))
	}
	return t, nil
}

func count(ctx context.Context, store Store, a Attempt) error {
	admitted, retry, err := store.CountAttempt(ctx, a)
	if err != nil {
		return fmt.Errorf("count login attempt: %w", err)
	}
	if !admitted {
		return fault.New(fault.RateLimited, "login_throttled", "Too many failed logins, try again later").
			After(max(retry.Sub(a.At), time.Second))
	}
	return nil
}

// notMade takes the try back, because no password was checked, and returns why.
func (t attempts) notMade(ctx context.Context, why error) error {
	ctx, cancel := detached(ctx)
	defer cancel()
	return errors.Join(why, t.store.ReturnAttempt(ctx, t.account), t.store.ReturnAttempt(ctx, t.peer))
}

// succeeded clears the account's failures, and takes the try back from the peer: its
// other failures stay, or one good account would pay for attacks on others.
func (t attempts) succeeded(ctx context.Context) error {
	ctx, cancel := detached(ctx)
	defer cancel()
	err := errors.Join(t.store.ClearAttempts(ctx, t.account.Key), t.store.ReturnAttempt(ctx, t.peer))
	if err != nil {
		return fmt.Errorf("clear failed logins: %w", err)
	}
	return nil
}

// detached is for what must be done although the client may be gone.
func detached(ctx context.Context) (context.Context, context.CancelFunc) {
	return context.WithTimeout(context.WithoutCancel(ctx), storePatience)
}

func newAttempt(kind, name string, most int, now time.Time) Attempt {
	sum := sha256.Sum256([]byte(kind + "\x00" + name))
	mark := random(8)
	for i := range mark {
		mark[i] = 'a' + mark[i]&15
	}
	return Attempt{Key: hex.EncodeToString(sum[:]), Mark: string(mark), At: now, Most: most, Window: loginWindow}
}

// network is what failures are counted against for a peer address: the address, or
// the /64 of an IPv6 one, all of which one host can use (RFC 4291 §2.5.4).
func network(peer string) string {
	addr, err := netip.ParseAddr(peer)
	if err != nil {
		return peer
	}
	addr = addr.Unmap()
	if addr.Is4() {
		return addr.String()
	}
	prefix, err := addr.Prefix(64) // drops the zone
	if err != nil {
		return peer
	}
	return prefix.String()
}
