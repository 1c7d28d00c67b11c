// Package svc runs services: it opens their listeners, serves them over HTTP, runs
// their background work, and drains them when the process is told to stop. It also
// has the ops listener, on a mux of its own that no public listener shares.
//
// It knows nothing of what a service does. Limits on a request (its body, its rate,
// the time for it) belong to package httpx; signals and exit codes to package cli.
package svc
