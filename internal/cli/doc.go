// Package cli is the command intuno: the table of its commands, where their
// configuration comes from (flags, then environment, then the data directory, then
// defaults), the wiring of the services, and exit codes.
//
// It is the only place that turns the process environment into values. Rules and
// routes are elsewhere: a command only asks for them.
package cli
