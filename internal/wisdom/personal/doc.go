// Package personal is the Personal tier in front of the private host: what a user may
// ask of it, how many entities and messages a plan allows, and whose answer is passed
// on. It is not the way to the host (agentsclient), not what an entity is or does
// (wisdom-agents), and it keeps no entity state: an entity's JSON passes through.
//
// # Slots
//
// At most as many entities as the plan allows may exist per user, in any interleaving
// of requests, on any number of nodes, across crashes; and a user below the cap must
// not be refused for good. So a create takes a slot, a row of
// (user, name), before it is sent, and a slot is given free only when it is certain
// that no entity of that name exists or can still come into being. Three facts about
// the host carry this: names are unique per owner, a request that begins takes effect
// within Config.Settle or never, and an answer shows a state that the host was in at
// some time between the request and the answer.
//
// Every change of a slot is one transaction per user (Store.ChangeSlots) around a pure
// function of this package. It sees all slots of the user and a stamp, a number that
// the user's transactions never get twice.
//
//   - reserve: a create joins the slot of its name, or makes it if there are fewer
//     slots than the cap. Its share is counted in Holders, and the stamp becomes the
//     slot's Version: so Version is unchanged exactly if no create has joined.
//   - created, refused: the outcome is certain, the share is returned. When the last
//     one is refused and the entity was never seen, the slot goes.
//   - An outcome that nobody knows (timeout, 5xx, cut, kill -9) returns nothing, so
//     the share keeps the slot in place until it is settled.
//   - gone: the host said 404, or has deleted. This frees the slot if, when the slot
//     was read before that request, no share was out, and Version is the same now: then
//     no create was on its way at the moment of which the host spoke or later. A 404
//     that was not preceded by such a read is asked for again after one.
//   - deleting: before a delete is sent its slot is put in doubt (Unknown), so that a
//     crash behind it leaves a slot that is settled. A create that is answered while
//     the slot is in doubt does not confirm it: the delete may have come after.
//   - looked: the settler (Run) asks for what is due. A slot in doubt becomes due
//     Settle after its last create or delete began, when all of them are dead, so what
//     the host says then is final, unless something began meanwhile: a join changes
//     Version and voids both answers, a delete changes SettleAt and voids the yes.
//     Epoch makes a share that comes back after that count for nothing.
//   - seen: an entity without a slot (the host or this database was restored, say) gets
//     one even above the cap, in doubt and due at once, because the answer that showed
//     it may be older than the delete that freed its slot.
//   - Once a day a settled slot is due too, so one whose entity vanished unseen does
//     not block its user for ever.
//
// Why the slots are at least the entities: an entity comes into being only by a create,
// which holds a share from before it is sent. The slot is dropped by refused, when all
// shares since its insertion were returned by creates that made nothing; by gone, when
// none was out or has joined since the host was asked; by looked, when all that were
// out are dead and none has joined since. Why a slot without an entity goes: every
// share that is not returned and every delete leaves the slot due, and every settled
// one is due once a day.
//
// A process that stood still between the reservation and the sending does not send
// (Create), since its request could outlive the slot. What remains assumed is that the
// host never acts on a request later than Settle after it began.
//
// The model test drives this package through random schedules of requests, host
// effects, lost answers and crashes and checks both halves after every step.
//
// # Messages
//
// A message is counted, against the minute and the calendar month, in one transaction
// before it is forwarded, and given back if the host refuses it, repeats a stored
// answer, or certainly never got it.
package personal
