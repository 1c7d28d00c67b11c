// Package arch has no code: its tests check the shape of the repository, so that
// a rule about code is kept by a machine and not by memory.
package arch
