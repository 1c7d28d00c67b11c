// Package embedding turns texts into vectors whose cosine says how near their
// meanings are: in process by a static table of word pieces (Builtin, no network,
// the same bits on every machine), or by any OpenAI-compatible endpoint
// (NewEndpoint, contract §17, EMBEDDING_*). It also packs vectors for storage.
//
// What is not here: where vectors are kept, searched and refreshed, what text of an
// agent is embedded, and what discovery does while an endpoint is down (contract
// §4.4). The table is made by the scripts under tools/.
package embedding
