package auth

// Hashed is how many passwords were hashed so far.
func (s *Service) Hashed() int64 { return s.hasher.runs.Load() }

// EntryLife is how long an answer of the database is believed.
const EntryLife = entryLife
