package main

import (
	"context"
	"fmt"
	"net/http"
	"os/exec"

	"github.com/IntunoAI/intuno-go/bench/lab"
)

const (
	jwtKey    = "bench-jwt-key-0123456789abcdef0123456789"
	networks  = 2
	receivers = 100 // of both
)

// content is what every message says: 200 characters.
const content = "The wind has turned north-west and brings rain from the sea, so take the coat that hangs behind the door, " +
	"and tell whoever is at the harbour that the boats shall stay where they are until the morning."

// node is a process of wisdom.
type node struct {
	addr, ops string
	process   *exec.Cmd
}

// world is wisdom with a user and his networks.
type world struct {
	*bench
	nodes    []node
	database string
	token    string
	live     []target // a hundred receivers that answer
	refused  target   // whose callback refuses connections
	hanging  target   // whose callback never answers
}

// target is somebody to send to.
type target struct {
	network, sender, recipient string
	path, body                 string // of the request
	dead                       bool
}

// newWorld starts n processes of wisdom on a new database, with networks of receivers. The dead
// ones are disconnected.
func (b *bench) newWorld(ctx context.Context, name string, n int) (*world, error) {
	database, err := b.database(ctx, name)
	if err != nil {
		return nil, err
	}
	w := &world{bench: b, database: database}
	if err := w.start(ctx, n); err != nil {
		return nil, err
	}
	account := map[string]any{"email": "bench@example.org", "password": "correct horse battery"}
	if err := lab.Post(ctx, w.url("/auth/register"), "", account, nil); err != nil {
		return nil, err
	}
	var token struct {
		AccessToken string `json:"access_token"`
	}
	if err := lab.Post(ctx, w.url("/auth/login"), "", account, &token); err != nil {
		return nil, err
	}
	w.token = token.AccessToken
	var last target
	for i := range networks {
		callbacks := make([]string, receivers/networks)
		for j := range callbacks {
			callbacks[j] = fmt.Sprintf("http://%s/network-%d/receiver-%d", b.receivers, i, j)
		}
		made, err := w.network(ctx, fmt.Sprint(name, " ", i), callbacks)
		if err != nil {
			return nil, err
		}
		w.live, last = append(w.live, made...), made[0]
	}
	nobody, err := lab.FreeAddr()
	if err != nil {
		return nil, err
	}
	for t, callback := range map[*target]string{&w.refused: "http://" + nobody + "/", &w.hanging: "http://" + b.receivers + hangPath} {
		if *t, err = w.join(ctx, last.network, last.sender, callback); err != nil {
			return nil, err
		}
		t.dead = true
		if err := w.connect(ctx, *t, false); err != nil {
			return nil, err
		}
	}
	return w, nil
}

// start runs n processes on the database.
func (w *world) start(ctx context.Context, n int) error {
	w.nodes = nil
	for range n {
		var node node
		var err error
		for _, addr := range []*string{&node.addr, &node.ops} {
			if *addr, err = lab.FreeAddr(); err != nil {
				return err
			}
		}
		env := []string{"DATA_DIR=" + w.lab.Dir, "DATABASE_URL=" + w.database, "WISDOM_ADDR=" + node.addr, "OPS_ADDR=" + node.ops, "JWT_SECRET_KEY=" + jwtKey,
			"RATE_LIMIT_PER_MINUTE=0", "INVOKE_ENDPOINT_ALLOWED_HOSTS=127.0.0.1", fmt.Sprint("NETWORK_MAX_PARTICIPANTS=", receivers)}
		if node.process, _, err = w.lab.Start(ctx, "http://"+node.addr+"/ready", env, w.lab.Binary, "wisdom"); err != nil {
			return err
		}
		w.nodes = append(w.nodes, node)
	}
	return nil
}

// stop kills the processes.
func (w *world) stop() {
	for _, node := range w.nodes {
		w.lab.Stop(node.process)
	}
}

func (w *world) url(path string) string { return "http://" + w.nodes[0].addr + path }

// network makes one with a sender, and a receiver of each callback.
func (w *world) network(ctx context.Context, name string, callbacks []string) ([]target, error) {
	var network, sender struct{ ID string }
	if err := lab.Post(ctx, w.url("/networks"), w.token, map[string]any{"name": name}, &network); err != nil {
		return nil, err
	}
	if err := lab.Post(ctx, w.url("/networks/"+network.ID+"/participants"), w.token, map[string]any{"name": "sender", "polling_enabled": true}, &sender); err != nil {
		return nil, err
	}
	list := make([]target, len(callbacks))
	for i, callback := range callbacks {
		var err error
		if list[i], err = w.join(ctx, network.ID, sender.ID, callback); err != nil {
			return nil, err
		}
	}
	return list, nil
}

func (w *world) join(ctx context.Context, network, sender, callback string) (target, error) {
	var p struct{ ID string }
	if err := lab.Post(ctx, w.url("/networks/"+network+"/participants"), w.token, map[string]any{"name": "receiver", "callback_url": callback}, &p); err != nil {
		return target{}, err
	}
	return target{network: network, sender: sender, recipient: p.ID, path: "/networks/" + network + "/messages/send",
		body: fmt.Sprintf(`{"sender_participant_id":%q,"recipient_participant_id":%q,"content":%q}`, sender, p.ID, content)}, nil
}

// connect makes a participant active, or disconnects it: then its deliveries wait.
func (w *world) connect(ctx context.Context, t target, active bool) error {
	status := "disconnected"
	if active {
		status = "active"
	}
	return lab.Send(ctx, http.MethodPatch, w.url("/networks/"+t.network+"/participants/"+t.recipient), w.token, map[string]any{"status": status}, nil)
}
