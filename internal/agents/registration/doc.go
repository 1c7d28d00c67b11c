// Package registration keeps the registry of wisdom in step with the entities of this
// host (contract §10.7): an active entity is registered, a paused one is inactive, a
// deleted one is removed.
//
// What is wanted is a row that the change of the entity writes in its own transaction.
// A Worker makes the registry agree with it, as often as it takes, on behalf of the
// entity's owner. A row is worked on by one node at a time, under a lease that is longer
// than an attempt; what changes during an attempt is done by the next one.
//
// How wisdom is reached is not here (Registry), nor what an entity is (entity).
package registration
