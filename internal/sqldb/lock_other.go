//go:build !unix

package sqldb

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
)

// lockFile takes the lock of path by creating it. A process that was killed leaves
// the file behind; the operator removes it.
func lockFile(path string) (unlock func() error, err error) {
	file, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE|os.O_EXCL, 0o600)
	if errors.Is(err, fs.ErrExist) {
		return nil, fmt.Errorf("%w (if none is running, remove %s)", errInUse(path), path)
	}
	if err != nil {
		return nil, err
	}
	return func() error { return errors.Join(file.Close(), os.Remove(path)) }, nil
}
