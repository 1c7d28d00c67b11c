// Package agentsclient is the only caller of wisdom-agents: it implements
// personal.Host, and broker.Host. A request is made new from typed values (request.go), travels over
// connections that never send anything twice (hop.go), and its answer is read within
// bounds (answer.go) or becomes a fault by the one status map (status.go).
//
// It decides nothing about quotas, ownership or slots: those are rules of personal. It
// is not the client for URLs that users supply: that is package egress.
package agentsclient
