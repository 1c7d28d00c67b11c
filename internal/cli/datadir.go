package cli

import (
	"bytes"
	"crypto/rand"
	"encoding/base64"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/IntunoAI/intuno-go/internal/config"
	"github.com/rogpeppe/go-internal/lockedfile"
)

// What the data directory of serve holds, beside the two databases.
const (
	secretsFile = "secrets.env" // generated once, then only read
	runningFile = "running.env" // where the running serve listens; absent when none runs
	lockFile    = "secrets.lock"

	privateDir  fs.FileMode = 0o700
	privateFile fs.FileMode = 0o600
)

// generated are the secrets that serve makes when nobody sets them: those marked *
// in contract §17. The host's key has two names, see pairHostKey.
var generated = []string{"JWT_SECRET_KEY", "CREDENTIALS_ENCRYPTION_KEY", "AGENTS_SERVICE_API_KEY", "AGENTS_API_KEY"}

// allowed are the variables that secrets.env may have.
var allowed = append([]string{"INTUNO_AGENTS_API_KEY", "CALLBACK_SIGNING_KEY", "EMBEDDING_API_KEY", "LLM_API_KEY"}, generated...)

const secretsHeader = `# The secrets of 'intuno serve', generated once. Keep this file private (mode 0600) and
# back it up with the databases: without it, stored credentials cannot be read.
# An environment variable of the same name wins.
`

// variables turns the form of os.Environ into a map without blank values.
func variables(environ []string) map[string]string {
	vars := map[string]string{}
	for _, pair := range environ {
		if name, value, ok := strings.Cut(pair, "="); ok {
			vars[name] = value
		}
	}
	return config.Drop(vars)
}

// dataDir is DATA_DIR or its default.
func dataDir(vars map[string]string) string {
	if dir := vars["DATA_DIR"]; dir != "" {
		return dir
	}
	return "./data"
}

// withSecrets returns vars and the secrets of the data directory, the former first.
func withSecrets(vars, secrets map[string]string) map[string]string {
	all := maps.Clone(secrets)
	if all == nil {
		all = map[string]string{}
	}
	maps.Copy(all, vars)
	const sent, expected = "INTUNO_AGENTS_API_KEY", "AGENTS_API_KEY"
	// The two names are one secret: whoever sets one has set both.
	switch {
	case vars[sent] == "" && vars[expected] != "":
		all[sent] = vars[expected]
	case vars[sent] != "" && vars[expected] == "":
		all[expected] = vars[sent]
	case vars[sent] == "" && all[expected] != "":
		all[sent] = all[expected]
	}
	return all
}

// ensureSecrets creates the data directory (mode 0700) and makes every secret that
// neither vars nor secrets.env has. Of processes that race for a new directory, one
// generates and the others read what it wrote.
func ensureSecrets(dir string, vars map[string]string) (secrets map[string]string, err error) {
	if err := os.MkdirAll(dir, privateDir); err != nil {
		return nil, fmt.Errorf("create data directory: %w", err)
	}
	unlock, err := lockedfile.MutexAt(filepath.Join(dir, lockFile)).Lock()
	if err != nil {
		return nil, fmt.Errorf("lock data directory: %w", err)
	}
	defer unlock()

	path := filepath.Join(dir, secretsFile)
	text, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		text, err = []byte(secretsHeader), nil
	}
	if err != nil {
		return nil, fmt.Errorf("read secrets: %w", err)
	}
	secrets, err = parseSecrets(text)
	if err != nil {
		return nil, err
	}
	before := len(text)
	for _, name := range generated {
		if secrets[name] != "" || vars[name] != "" || name == "AGENTS_API_KEY" && vars["INTUNO_AGENTS_API_KEY"] != "" {
			continue
		}
		if len(text) > 0 && text[len(text)-1] != '\n' {
			text = append(text, '\n')
		}
		secrets[name] = randomSecret()
		text = fmt.Appendf(text, "%s=%s\n", name, secrets[name])
	}
	if len(text) == before {
		return secrets, nil
	}
	if err := writePrivate(path, text); err != nil {
		return nil, fmt.Errorf("write secrets: %w", err)
	}
	return secrets, nil
}

// readSecrets is ensureSecrets for commands that must not write: without a file
// there are no secrets.
func readSecrets(dir string) (map[string]string, error) {
	text, err := os.ReadFile(filepath.Join(dir, secretsFile))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("read secrets: %w", err)
	}
	return parseSecrets(text)
}

// parseSecrets reads KEY=VALUE lines; # starts a comment line. No error shows a value.
func parseSecrets(text []byte) (map[string]string, error) {
	secrets, err := parseLines(text)
	if err != nil {
		return nil, err
	}
	for name := range secrets {
		if !slices.Contains(allowed, name) {
			return nil, fmt.Errorf("%s may hold only secrets, and one of its variables is not one: move it to the environment", secretsFile)
		}
	}
	return secrets, nil
}

func parseLines(text []byte) (map[string]string, error) {
	vars := map[string]string{}
	for i, line := range bytes.Split(text, []byte("\n")) {
		line = bytes.TrimSpace(line)
		if len(line) == 0 || line[0] == '#' {
			continue
		}
		name, value, ok := bytes.Cut(line, []byte("="))
		if !ok {
			return nil, fmt.Errorf("%s line %d: want KEY=VALUE", secretsFile, i+1)
		}
		vars[string(bytes.TrimSpace(name))] = string(bytes.TrimSpace(value))
	}
	return config.Drop(vars), nil
}

// randomSecret is 32 random bytes in 43 characters that any header and file can hold.
func randomSecret() string {
	var b [32]byte
	_, _ = rand.Read(b[:]) // never fails: crypto/rand aborts the process instead
	return base64.RawURLEncoding.EncodeToString(b[:])
}

// writePrivate replaces the file in one step: a reader, or a crash, sees all of the
// old text or all of the new, on disk before the name points to it.
func writePrivate(path string, text []byte) error {
	temp, err := os.CreateTemp(filepath.Dir(path), ".new-*") // mode 0600
	if err != nil {
		return err
	}
	_, err = temp.Write(text)
	if err == nil {
		err = temp.Chmod(privateFile)
	}
	if err == nil {
		err = temp.Sync()
	}
	err = errors.Join(err, temp.Close())
	if err == nil {
		err = os.Rename(temp.Name(), path)
	}
	if err != nil {
		return errors.Join(err, os.Remove(temp.Name()))
	}
	return syncDir(filepath.Dir(path))
}

func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}
