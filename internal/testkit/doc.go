// Package testkit is what tests of every package share: real database engines and a
// clock that a test sets. Only tests import it. It knows no capability: seeds and
// fakes of a service live next to that service's tests.
package testkit
