// Package httpx is the HTTP edge: it turns a table of routes into a handler.
//
// A route is a row of data (method, pattern, access class, a plain function). The
// edge does everything that must be the same on every route, in the one order of
// the contract: path and method, credentials, rate limit, size and media type,
// strict JSON, shape, handler, one rendering of the answer or the fault, one log
// record, one audit record. A handler therefore cannot read a header, write a
// status or leak an error text.
//
// Who a request acts for is decided by the Guard that a service passes in; this
// package never looks at a credential. Rules of the domain are not here either.
package httpx
