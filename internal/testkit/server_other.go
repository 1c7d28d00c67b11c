//go:build !unix

package testkit

import (
	"context"
	"errors"
)

type server struct{}

func (*server) url(string) string { return "" }

func startServer(context.Context, bool) (*server, error) {
	return nil, errors.New("tests on PostgreSQL need a Unix system")
}
