package store

import (
	"context"
	"database/sql"
	"time"

	"github.com/IntunoAI/intuno-go/internal/clock"
	"github.com/IntunoAI/intuno-go/internal/fault"
	"github.com/IntunoAI/intuno-go/internal/id"
	"github.com/IntunoAI/intuno-go/internal/sqldb"
	"github.com/IntunoAI/intuno-go/internal/wisdom/auth"
	"github.com/IntunoAI/intuno-go/internal/wisdom/store/query"
)

var _ auth.Store = (*Store)(nil)

// CreateUser implements auth.Store.
func (s *Store) CreateUser(ctx context.Context, a auth.Account, fold string) error {
	return sqldb.Translate(s.write.InsertUser(ctx, query.InsertUserParams{
		ID: string(a.ID), Email: a.Email, EmailFold: fold, PasswordHash: a.PasswordHash,
		FirstName: a.FirstName, LastName: a.LastName, IsActive: a.Active, IsAdmin: a.Admin, Plan: string(a.Plan),
		CreatedUs: clock.Micros(a.Created), UpdatedUs: clock.Micros(a.Updated),
	}))
}

// UserByID implements auth.Store.
func (s *Store) UserByID(ctx context.Context, user id.User) (auth.Account, error) {
	row, err := s.read.UserByID(ctx, string(user))
	return toAccount(row), sqldb.Translate(err)
}

// UserByEmail implements auth.Store.
func (s *Store) UserByEmail(ctx context.Context, fold string) (auth.Account, error) {
	row, err := s.read.UserByEmail(ctx, fold)
	return toAccount(row), sqldb.Translate(err)
}

// Users implements auth.Store.
func (s *Store) Users(ctx context.Context, after auth.Cursor, limit int) ([]auth.User, error) {
	rows, err := s.read.UsersAfter(ctx, query.UsersAfterParams{
		CreatedUs: clock.Micros(after.Created), ID: string(after.ID), Lim: int64(limit),
	})
	if err != nil {
		return nil, sqldb.Translate(err)
	}
	users := make([]auth.User, len(rows))
	for i, row := range rows {
		users[i] = toUser(row)
	}
	return users, nil
}

// UpdateUser implements auth.Store.
func (s *Store) UpdateUser(ctx context.Context, user id.User, c auth.Change, now time.Time) (auth.User, error) {
	row, err := s.write.UpdateUser(ctx, query.UpdateUserParams{
		Plan: (*string)(c.Plan), IsAdmin: c.Admin, IsActive: c.Active,
		NowS: now.Unix(), UpdatedUs: clock.Micros(now), ID: string(user),
	})
	return toUser(row), sqldb.Translate(err)
}

func toUser(row query.User) auth.User {
	return auth.User{
		ID: id.User(row.ID), Email: row.Email, FirstName: row.FirstName, LastName: row.LastName,
		Active: row.IsActive, Admin: row.IsAdmin, Plan: auth.Plan(row.Plan),
		Created: clock.FromMicros(row.CreatedUs), Updated: clock.FromMicros(row.UpdatedUs),
	}
}

func toAccount(row query.User) auth.Account {
	return auth.Account{User: toUser(row), PasswordHash: row.PasswordHash}
}

// IssueToken implements auth.Store.
func (s *Store) IssueToken(ctx context.Context, user id.User, hash string, now time.Time) (int64, error) {
	after, err := s.write.IssueToken(ctx, query.IssueTokenParams{ID: string(user), Hash: hash, NowS: now.Unix()})
	return max(now.Unix(), after+1), sqldb.Translate(err)
}

// ChangePassword implements auth.Store.
func (s *Store) ChangePassword(ctx context.Context, user id.User, oldHash, newHash string, now time.Time) error {
	return one(s.write.ChangePassword(ctx, query.ChangePasswordParams{
		ID: string(user), OldHash: oldHash, NewHash: newHash, NowS: now.Unix(), UpdatedUs: clock.Micros(now),
	}))
}

// RevokeToken implements auth.Store.
func (s *Store) RevokeToken(ctx context.Context, user id.User, jti string, expires time.Time) error {
	return sqldb.Translate(s.write.RevokeToken(ctx, query.RevokeTokenParams{
		UserID: string(user), Jti: jti, ExpiresUs: clock.Micros(expires),
	}))
}

// CreateAPIKey implements auth.Store.
func (s *Store) CreateAPIKey(ctx context.Context, owner id.User, k auth.APIKey, digest string) error {
	row := query.InsertAPIKeyParams{
		ID: string(k.ID), UserID: string(owner), Name: k.Name, Digest: digest, IntegrationID: (*string)(k.Integration),
		CreatedUs: clock.Micros(k.Created), ExpiresUs: microsPtr(k.Expires),
	}
	if k.Integration == nil {
		return sqldb.Translate(s.write.InsertAPIKey(ctx, row))
	}
	return s.db.Tx(ctx, func(tx *sql.Tx) error {
		q := query.New(tx)
		_, err := q.Integration(ctx, query.IntegrationParams{ID: string(*k.Integration), UserID: string(owner)})
		if err == nil {
			err = q.InsertAPIKey(ctx, row)
		}
		return sqldb.Translate(err)
	})
}

// APIKeys implements auth.Store.
func (s *Store) APIKeys(ctx context.Context, owner id.User) ([]auth.APIKey, error) {
	rows, err := s.read.APIKeysOf(ctx, string(owner))
	if err != nil {
		return nil, sqldb.Translate(err)
	}
	keys := make([]auth.APIKey, len(rows))
	for i, row := range rows {
		keys[i] = toAPIKey(row)
	}
	return keys, nil
}

// IntegrationKeys implements auth.Store.
func (s *Store) IntegrationKeys(ctx context.Context, owner id.User, integration id.Integration) ([]auth.APIKey, error) {
	text := string(integration)
	rows, err := s.read.IntegrationKeysOf(ctx, query.IntegrationKeysOfParams{UserID: string(owner), IntegrationID: &text})
	if err == nil && len(rows) == 0 {
		_, err = s.read.Integration(ctx, query.IntegrationParams{ID: text, UserID: string(owner)})
	}
	if err != nil {
		return nil, sqldb.Translate(err)
	}
	keys := make([]auth.APIKey, len(rows))
	for i, row := range rows {
		keys[i] = toAPIKey(query.APIKeysOfRow(row))
	}
	return keys, nil
}

func toAPIKey(row query.APIKeysOfRow) auth.APIKey {
	return auth.APIKey{
		ID: id.APIKey(row.ID), Name: row.Name, Integration: (*id.Integration)(row.IntegrationID), Created: clock.FromMicros(row.CreatedUs),
		LastUsed: clock.FromMicrosPtr(row.LastUsedUs), Expires: clock.FromMicrosPtr(row.ExpiresUs),
	}
}

// DeleteAPIKey implements auth.Store.
func (s *Store) DeleteAPIKey(ctx context.Context, owner id.User, key id.APIKey) error {
	return one(s.write.DeleteAPIKey(ctx, query.DeleteAPIKeyParams{UserID: string(owner), ID: string(key)}))
}

// DeleteIntegrationKey implements auth.Store.
func (s *Store) DeleteIntegrationKey(ctx context.Context, owner id.User, integration id.Integration, key id.APIKey) error {
	text := string(integration)
	return one(s.write.DeleteIntegrationKey(ctx, query.DeleteIntegrationKeyParams{UserID: string(owner), IntegrationID: &text, ID: string(key)}))
}

// TouchAPIKey implements auth.Store.
func (s *Store) TouchAPIKey(ctx context.Context, owner id.User, key id.APIKey, at time.Time, every time.Duration) error {
	return sqldb.Translate(s.write.TouchAPIKey(ctx, query.TouchAPIKeyParams{
		UserID: string(owner), ID: string(key), AtUs: clock.Micros(at), BeforeUs: clock.Micros(at.Add(-every)),
	}))
}

// TokenStanding implements auth.Store.
func (s *Store) TokenStanding(ctx context.Context, user id.User, jti string) (auth.Standing, error) {
	row, err := s.read.TokenStanding(ctx, query.TokenStandingParams{ID: string(user), Jti: jti})
	return auth.Standing{
		User: user, Active: row.IsActive, Admin: row.IsAdmin, TokensAfter: row.TokensAfter, Revoked: row.Revoked > 0,
	}, sqldb.Translate(err)
}

// KeyStanding implements auth.Store.
func (s *Store) KeyStanding(ctx context.Context, digest string) (auth.Standing, error) {
	row, err := s.read.KeyStanding(ctx, digest)
	standing := auth.Standing{
		User: id.User(row.UserID), Active: row.IsActive, Key: id.APIKey(row.ID),
		KeyExpires: clock.FromMicrosPtr(row.ExpiresUs), KeyUsed: clock.FromMicrosPtr(row.LastUsedUs),
	}
	if row.IntegrationID != nil {
		standing.Integration = id.Integration(*row.IntegrationID)
	}
	return standing, sqldb.Translate(err)
}

// UserStanding implements auth.Store.
func (s *Store) UserStanding(ctx context.Context, user id.User) (auth.Standing, error) {
	active, err := s.read.UserStanding(ctx, string(user))
	return auth.Standing{User: user, Active: active}, sqldb.Translate(err)
}

// one is for statements that change exactly one row: none is fault.NotFound.
func one(changed int64, err error) error {
	if err != nil {
		return sqldb.Translate(err)
	}
	if changed == 0 {
		return fault.Missing("row")
	}
	return nil
}

func microsPtr(t *time.Time) *int64 {
	if t == nil {
		return nil
	}
	us := clock.Micros(*t)
	return &us
}
