package cli

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/IntunoAI/intuno-go/internal/agents"
	"github.com/IntunoAI/intuno-go/internal/id"
	"github.com/IntunoAI/intuno-go/internal/secret"
	"github.com/IntunoAI/intuno-go/internal/wisdom"
)

const (
	probeTimeout = 10 * time.Second
	maxSkew      = 5 * time.Second // between clocks: tokens bear 30 s, leases less
)

// host asks the private host whether it lives, whether it knows our key, and what
// time it has.
func (d *doctor) host(ctx context.Context, faults []error, w *wisdom.Config, a *agents.Config) {
	var base string
	var key secret.String
	switch {
	case w != nil:
		base, key = w.AgentsBaseURL, w.AgentsAPIKey
	default:
		base, key = hostURL(a.Addr), a.APIKey
	}
	if names(faults, "INTUNO_AGENTS_BASE_URL") || names(faults, "AGENTS_ADDR") {
		return // told already
	}
	asked := d.now()
	status, date, err := probe(ctx, base+"/health", secret.String{})
	if err != nil || status != http.StatusOK {
		d.fail("entity host", "%s: is it running? Start 'intuno serve', or 'intuno agents' and set INTUNO_AGENTS_BASE_URL", describe(base+"/health", status, err))
		return
	}
	if key.Blank() {
		d.warn("entity host", "%s lives, but there is no key to ask it with", base)
	} else {
		status, _, err := probe(ctx, base+"/entities", key)
		switch {
		case err == nil && status == http.StatusOK:
			d.ok("entity host", "%s lives and accepts the key", base)
		case err == nil && status == http.StatusUnauthorized:
			d.fail("entity host", "%s refuses the key: INTUNO_AGENTS_API_KEY of wisdom must equal AGENTS_API_KEY of the host", base)
		default:
			d.fail("entity host", "%s", describe(base+"/entities", status, err))
		}
	}
	if date.IsZero() {
		d.warn("clock", "%s does not tell the time", base)
		return
	}
	// A Date header is cut to the second.
	d.clock("the entity host", date, asked, time.Second)
	if w == nil {
		d.wisdom(ctx, a.WisdomBaseURL)
	}
}

// ready is a probe for images without a shell: nothing is read but the ops listener.
func (t *terminal) ready(ctx context.Context, vars map[string]string, service string) error {
	if service == "" {
		service = deployed(vars, false)
	}
	w, _ := wisdom.ParseConfig(vars)
	addr := w.OpsAddr
	if service == "agents" {
		a, _ := agents.ParseConfig(vars)
		addr = a.OpsAddr
	}
	url := "http://" + addr + "/ready"
	status, _, err := probe(ctx, url, secret.String{})
	if err != nil || status != http.StatusOK {
		return errors.New(describe(url, status, err))
	}
	t.print("ready\n")
	return nil
}

// wisdom asks whether the host could call back.
func (d *doctor) wisdom(ctx context.Context, base string) {
	if status, _, err := probe(ctx, base+"/health", secret.String{}); err != nil || status != http.StatusOK {
		d.fail("wisdom", "%s: is it running? Set INTUNO_BASE_URL to its address", describe(base+"/health", status, err))
		return
	}
	d.ok("wisdom", "%s lives", base)
}

// clock compares another clock with ours. It was read between asked and now, and is
// at most cut behind what it says.
func (d *doctor) clock(whose string, theirs, asked time.Time, cut time.Duration) {
	early, late := asked.Sub(theirs.Add(cut)), theirs.Sub(d.now())
	if early > maxSkew || late > maxSkew {
		d.fail("clock", "%s is %s off: set both clocks by NTP", whose, max(early, late).Round(100*time.Millisecond))
		return
	}
	d.ok("clock", "%s is within %s of this machine's", whose, maxSkew)
}

// probe asks once: no redirects, no proxy of the environment, no retries. With a key
// it asks as the host's routes want it, for a user that nobody has.
func probe(ctx context.Context, url string, key secret.String) (status int, date time.Time, err error) {
	ctx, cancel := context.WithTimeout(ctx, probeTimeout)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return 0, time.Time{}, err
	}
	if !key.Blank() {
		req.Header.Set("X-API-Key", key.Reveal())
		req.Header.Set("X-User-Id", string(id.New[id.User]()))
	}
	transport := &http.Transport{DisableKeepAlives: true}
	client := http.Client{Transport: transport, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	resp, err := client.Do(req)
	if err != nil {
		return 0, time.Time{}, err
	}
	date, _ = http.ParseTime(resp.Header.Get("Date")) // zero: there is none
	return resp.StatusCode, date, resp.Body.Close()
}

// describe is what became of a request, without the URL twice.
func describe(url string, status int, err error) string {
	if err == nil {
		return fmt.Sprintf("%s answers %d", url, status)
	}
	if inner := errors.Unwrap(err); inner != nil {
		err = inner
	}
	return fmt.Sprintf("%s does not answer (%s)", url, err)
}
