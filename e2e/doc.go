// Package e2e has no code: its tests build the binary, start it as an operator
// would (embedded, apart, several of each) and drive it from outside.
package e2e
