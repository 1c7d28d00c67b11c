// Package entity holds what an entity is and the rules of its life: created,
// changed, paused, resumed, deleted, always by its owner. It also holds the
// vocabulary of requests that may be repeated (Idempotency-Key), because the
// creation of an entity is one of them.
//
// What an entity says and remembers is not here: see chat and memory.
package entity
