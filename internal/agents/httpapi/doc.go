// Package httpapi is the face of wisdom-agents on HTTP: who may ask, the table of
// routes, and the translation between wire types and rules. Only wisdom asks here.
// It decides nothing that a rule decides.
package httpapi
