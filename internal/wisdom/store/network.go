package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"time"

	"github.com/IntunoAI/intuno-go/internal/clock"
	"github.com/IntunoAI/intuno-go/internal/fault"
	"github.com/IntunoAI/intuno-go/internal/id"
	"github.com/IntunoAI/intuno-go/internal/sqldb"
	"github.com/IntunoAI/intuno-go/internal/wisdom/network"
	"github.com/IntunoAI/intuno-go/internal/wisdom/store/query"
)

var _ network.Store = Networks{}

// Networks is the Store as it keeps networks (network.Store): a type of its own, because
// a network and a conversation both have messages. It is safe for concurrent use.
type Networks struct{ *Store }

// tx is TxByStatement with plans that stay right while tables grow.
func (s Networks) tx(ctx context.Context, fn func(tx *sqldb.PreparedTx) error) error {
	return s.db.TxByStatement(ctx, func(tx *sqldb.PreparedTx) error {
		if s.db.Dialect().Shared() {
			if _, err := tx.ExecContext(ctx, steadyPlans); err != nil {
				return fmt.Errorf("keep to the indexes: %w", err)
			}
		}
		return fn(tx)
	})
}

// CreateNetwork implements network.Store.
func (s Networks) CreateNetwork(ctx context.Context, n network.Network) error {
	return sqldb.Translate(s.write.CreateNetwork(ctx, query.CreateNetworkParams{ID: string(n.ID), OwnerID: string(n.Owner), Name: n.Name, Topology: n.Topology,
		Metadata: textPtr(n.Metadata), Status: n.Status, Revision: max(n.Revision, 1), CreatedUs: clock.Micros(n.Created), UpdatedUs: clock.Micros(n.Updated)}))
}

// Networks implements network.Store.
func (s Networks) Networks(ctx context.Context, owner id.User, limit, offset int) ([]network.Network, error) {
	rows, err := s.read.OwnedNetworks(ctx, query.OwnedNetworksParams{OwnerID: string(owner), Lim: int64(limit), Skip: int64(offset)})
	if err != nil {
		return nil, fmt.Errorf("list networks: %w", err)
	}
	list := make([]network.Network, len(rows))
	for i, row := range rows {
		list[i] = toNetwork(row)
	}
	return list, nil
}

// EditNetwork implements network.Store.
func (s Networks) EditNetwork(ctx context.Context, owner id.User, n id.Network, edit func(network.Network) network.Network) (network.Network, error) {
	var stored network.Network
	err := s.tx(ctx, func(tx *sqldb.PreparedTx) error {
		q := query.New(tx)
		row, err := q.TakeNetwork(ctx, query.TakeNetworkParams{ID: string(n), OwnerID: string(owner)})
		if err != nil {
			return missing("Network", err)
		}
		stored = edit(toNetwork(row))
		err = q.SaveNetwork(ctx, query.SaveNetworkParams{Name: stored.Name, Topology: stored.Topology, Metadata: textPtr(stored.Metadata), Status: stored.Status,
			UpdatedUs: clock.Micros(stored.Updated), ID: string(n), OwnerID: string(owner)})
		if err != nil {
			return fmt.Errorf("save a network: %w", err)
		}
		return s.wake(ctx, tx, n, "")
	})
	return stored, err
}

// DeleteNetwork implements network.Store.
func (s Networks) DeleteNetwork(ctx context.Context, owner id.User, n id.Network, at time.Time) error {
	us := clock.Micros(at)
	changed, err := s.write.DeleteNetwork(ctx, query.DeleteNetworkParams{DeletedUs: &us, ID: string(n), OwnerID: string(owner)})
	if err == nil && changed == 0 {
		err = sql.ErrNoRows
	}
	return missing("Network", err)
}

// State implements network.Store. SQLite fixes what is seen with the first read,
// PostgreSQL needs REPEATABLE READ for that.
func (s Networks) State(ctx context.Context, n id.Network) (network.State, error) {
	tx, err := s.db.Read().BeginTx(ctx, &sql.TxOptions{Isolation: sql.LevelRepeatableRead, ReadOnly: true})
	if err != nil {
		return network.State{}, fmt.Errorf("begin to read a network: %w", err)
	}
	defer func() { _ = tx.Rollback() }() // nothing was written
	q := query.New(tx)
	row, err := q.NetworkOfAnybody(ctx, string(n))
	if err != nil {
		return network.State{}, missing("Network", err)
	}
	rows, err := q.PresentParticipants(ctx, string(n))
	if err != nil {
		return network.State{}, fmt.Errorf("list participants: %w", err)
	}
	return network.State{Network: toNetwork(row), Participants: toParticipants(rows)}, nil
}

// Join implements network.Store. Whoever joins or changes a participant takes the
// network's row first: what is counted then stays so.
func (s Networks) Join(ctx context.Context, p network.Participant, admit func(n network.Network, active int, joined bool) error) (network.Participant, error) {
	stored := p
	err := s.tx(ctx, func(tx *sqldb.PreparedTx) error {
		q := query.New(tx)
		n, err := q.TakeNetwork(ctx, query.TakeNetworkParams{Joining: 1, ID: string(p.Network), OwnerID: string(p.Owner)})
		if err != nil {
			return missing("Network", err)
		}
		if err := s.holdAgent(ctx, tx, p.Agent); err != nil {
			return err
		}
		active, joined, err := others(ctx, q, p)
		if err != nil {
			return err
		}
		if err := admit(toNetwork(n), active, joined); err != nil {
			return err
		}
		stored.Position = n.LastPosition
		err = q.InsertParticipant(ctx, query.InsertParticipantParams{ID: string(p.ID), NetworkID: string(p.Network), OwnerID: string(p.Owner), AgentID: textOrNil(p.Agent),
			Kind: p.Kind, Name: p.Name, CallbackUrl: p.CallbackURL, Polling: p.Polling, Capabilities: textPtr(p.Capabilities), Status: p.Status, Position: stored.Position,
			Secret: p.Secret.Sealed, SecretKey: p.Secret.KeyID, OldSecret: p.Secret.Old, OldUntilUs: microsOrNil(p.Secret.OldUntil),
			CreatedUs: clock.Micros(p.Created), UpdatedUs: clock.Micros(p.Updated)})
		return sqldb.Translate(err)
	})
	return stored, err
}

// holdAgent sees to it that an agent is not deleted before the transaction ends; then whoever
// deletes it finds the new participant. fault.NotFound: it is gone.
func (s Networks) holdAgent(ctx context.Context, tx *sqldb.PreparedTx, agent id.Agent) error {
	if agent == "" {
		return nil
	}
	var held int
	return missing("Agent", tx.QueryRowContext(ctx, "SELECT 1 FROM agents WHERE id = $1 "+s.db.Dialect().ForKeyShare(), string(agent)).Scan(&held))
}

// others counts the active participants besides p, and tells whether p's agent is among them.
func others(ctx context.Context, q *query.Queries, p network.Participant) (active int, joined bool, err error) {
	row, err := q.CountActive(ctx, query.CountActiveParams{AgentID: string(p.Agent), NetworkID: string(p.Network), But: string(p.ID)})
	if err != nil {
		return 0, false, fmt.Errorf("count participants: %w", err)
	}
	return int(row.Active), row.Joined > 0, nil
}

// Participant implements network.Store.
func (s Networks) Participant(ctx context.Context, owner id.User, n id.Network, p id.Participant) (network.Participant, error) {
	row, err := s.read.Participant(ctx, query.ParticipantParams{ID: string(p), NetworkID: string(n), OwnerID: string(owner)})
	return toParticipant(row), missing("Participant", err)
}

// EditParticipant implements network.Store.
func (s Networks) EditParticipant(ctx context.Context, owner id.User, n id.Network, p id.Participant,
	edit func(n network.Network, p network.Participant, active int, joined bool) (network.Participant, error)) (network.Participant, error) {
	var stored network.Participant
	err := s.tx(ctx, func(tx *sqldb.PreparedTx) error {
		q := query.New(tx)
		held, err := q.TakeNetwork(ctx, query.TakeNetworkParams{ID: string(n), OwnerID: string(owner)})
		if err != nil {
			return missing("Network", err)
		}
		// The lane goes before the participant: whoever delivers takes them in this order.
		if err := s.wake(ctx, tx, n, p); err != nil {
			return err
		}
		row, err := q.TakeParticipant(ctx, query.TakeParticipantParams{ID: string(p), NetworkID: string(n), OwnerID: string(owner)})
		if err != nil {
			return missing("Participant", err)
		}
		before := toParticipant(row)
		active, joined, err := others(ctx, q, before)
		if err != nil {
			return err
		}
		if stored, err = edit(toNetwork(held), before, active, joined); err != nil {
			return err
		}
		return sqldb.Translate(q.SaveParticipant(ctx, query.SaveParticipantParams{CallbackUrl: stored.CallbackURL, Polling: stored.Polling,
			Capabilities: textPtr(stored.Capabilities), Status: stored.Status, Secret: stored.Secret.Sealed, SecretKey: stored.Secret.KeyID,
			OldSecret: stored.Secret.Old, OldUntilUs: microsOrNil(stored.Secret.OldUntil), UpdatedUs: clock.Micros(stored.Updated),
			ID: string(p), NetworkID: string(n), OwnerID: string(owner)}))
	})
	return stored, err
}

// wake has the queue look at the deliveries of a network at once; recipient "" is all.
// Lanes are held in the order of their ids, which an UPDATE alone does not promise.
func (s Networks) wake(ctx context.Context, tx *sqldb.PreparedTx, n id.Network, recipient id.Participant) error {
	if recipient == "" {
		if _, err := tx.ExecContext(ctx, "SELECT recipient_id FROM delivery_lanes WHERE network_id = $1 ORDER BY recipient_id "+s.db.Dialect().ForNoKeyUpdate(), string(n)); err != nil {
			return fmt.Errorf("hold lanes: %w", err)
		}
	}
	err := query.New(tx).WakeLanes(ctx, query.WakeLanesParams{NowUs: clock.Micros(s.db.Now()()), NetworkID: string(n), RecipientID: string(recipient)})
	if err != nil {
		return fmt.Errorf("wake lanes: %w", err)
	}
	return nil
}

// OtherwiseSealed implements network.Store.
func (s Networks) OtherwiseSealed(ctx context.Context, keyID string, after id.Participant, limit int) ([]network.Participant, error) {
	rows, err := s.read.OtherwiseSealedParticipants(ctx, query.OtherwiseSealedParticipantsParams{KeyID: keyID, After: string(after), Lim: int64(limit)})
	if err != nil {
		return nil, fmt.Errorf("list secrets of other keys: %w", err)
	}
	return toParticipants(rows), nil
}

// Reseal implements network.Store.
func (s Networks) Reseal(ctx context.Context, p id.Participant, before, after network.Secrets) (bool, error) {
	old := before.Old
	if old == nil {
		old = before.Sealed
	}
	n, err := s.write.ResealParticipant(ctx, query.ResealParticipantParams{Secret: after.Sealed, SecretKey: after.KeyID, OldSecret: after.Old, ID: string(p),
		Before: before.Sealed, BeforeOld: old})
	return n > 0, sqldb.Translate(err)
}

// purgedPerCall is how many rows Purge removes at most: SQLite's writer is held for as
// long as that takes.
const purgedPerCall = 1000

// Purge implements network.Store. Each caller has a network of its own.
func (s Networks) Purge(ctx context.Context) (more bool, err error) {
	err = s.tx(ctx, func(tx *sqldb.PreparedTx) error {
		more = false
		var n string
		err := tx.QueryRowContext(ctx, "SELECT id FROM networks WHERE deleted_us IS NOT NULL ORDER BY deleted_us, id LIMIT 1 "+s.db.Dialect().SkipLocked()).Scan(&n)
		if errors.Is(err, sql.ErrNoRows) {
			return nil
		}
		if err != nil {
			return fmt.Errorf("look for a deleted network: %w", err)
		}
		more = true
		return purge(ctx, query.New(tx), n)
	})
	return more && err == nil, err
}

// purge removes a part of what a deleted network left behind; with the last part itself.
func purge(ctx context.Context, q *query.Queries, n string) error {
	left := int64(purgedPerCall)
	for _, remove := range []func(limit int64) (int64, error){
		func(limit int64) (int64, error) {
			return q.PurgeLanes(ctx, query.PurgeLanesParams{NetworkID: n, Lim: limit})
		},
		func(limit int64) (int64, error) {
			return q.PurgeDeliveries(ctx, query.PurgeDeliveriesParams{NetworkID: n, Lim: limit})
		},
		func(limit int64) (int64, error) {
			return q.PurgeMessages(ctx, query.PurgeMessagesParams{NetworkID: n, Lim: limit})
		},
		func(limit int64) (int64, error) {
			return q.PurgeDeadLetters(ctx, query.PurgeDeadLettersParams{NetworkID: n, Lim: limit})
		},
		func(limit int64) (int64, error) {
			return q.PurgeParticipants(ctx, query.PurgeParticipantsParams{NetworkID: n, Lim: limit})
		},
	} {
		removed, err := remove(left)
		if err != nil {
			return fmt.Errorf("remove what a deleted network left behind: %w", err)
		}
		if left -= removed; left <= 0 {
			return nil
		}
	}
	if err := q.PurgeNetwork(ctx, n); err != nil {
		return fmt.Errorf("remove a deleted network: %w", err)
	}
	return nil
}

func toNetwork(row query.Network) network.Network {
	return network.Network{ID: id.Network(row.ID), Owner: id.User(row.OwnerID), Name: row.Name, Topology: row.Topology, Metadata: bytesPtr(row.Metadata),
		Status: row.Status, Revision: row.Revision, Created: clock.FromMicros(row.CreatedUs), Updated: clock.FromMicros(row.UpdatedUs)}
}

func toParticipant(row query.Participant) network.Participant {
	p := network.Participant{ID: id.Participant(row.ID), Network: id.Network(row.NetworkID), Owner: id.User(row.OwnerID), Agent: id.Agent(text(row.AgentID)),
		Kind: row.Kind, Name: row.Name, CallbackURL: row.CallbackUrl, Polling: row.Polling, Capabilities: bytesPtr(row.Capabilities), Status: row.Status,
		Position: row.Position, Secret: network.Secrets{Sealed: row.Secret, KeyID: row.SecretKey, Old: row.OldSecret},
		Created: clock.FromMicros(row.CreatedUs), Updated: clock.FromMicros(row.UpdatedUs)}
	if row.OldUntilUs != nil {
		p.Secret.OldUntil = clock.FromMicros(*row.OldUntilUs)
	}
	return p
}

func toParticipants(rows []query.Participant) []network.Participant {
	list := make([]network.Participant, len(rows))
	for i, row := range rows {
		list[i] = toParticipant(row)
	}
	return list
}

// textOrNil is null for what is empty.
func textOrNil[T ~string](v T) *string {
	if v == "" {
		return nil
	}
	s := string(v)
	return &s
}

// microsOrNil is null for the zero time.
func microsOrNil(t time.Time) *int64 {
	if t.IsZero() {
		return nil
	}
	us := clock.Micros(t)
	return &us
}

// missing types what a driver reports: no row is a missing thing of that name, whoever
// owns it.
func missing(what string, err error) error {
	if err = sqldb.Translate(err); fault.Is(err, fault.NotFound) {
		return fault.Missing(what)
	}
	return err
}
