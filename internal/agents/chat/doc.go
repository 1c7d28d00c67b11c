// Package chat runs turns: a user's message, or what an agent network delivers, what the
// entity does about it, and its reply.
//
// A turn is accepted by one transaction, runs detached from the request that
// brought it, one at a time per entity, and ends in one transaction: with a reply,
// or failed with a fixed text. Everything that readers see of it is an event, kept
// in the database before it is shown, so any node can show it and a reader that was
// cut off can go on. A turn is leased by the node that runs it: the lease is renewed
// every second, a turn whose lease ended is failed by whoever notices, and from then
// on nothing that its old node writes is taken.
//
// Deliveries take the same way. They are no part of the history, nobody can follow their
// events, and who is not the owner of the entity gets less of it (entity.ForStranger).
//
// How a reply is found is not here (see brain), nor the JSON of events (Encode).
package chat
