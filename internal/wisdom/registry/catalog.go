package registry

import (
	"context"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/IntunoAI/intuno-go/internal/clock"
	"github.com/IntunoAI/intuno-go/internal/embedding"
	"github.com/IntunoAI/intuno-go/internal/id"
	"github.com/IntunoAI/intuno-go/internal/search"
)

// Embedder turns texts into unit vectors. A text without content gives a vector of
// zeros.
type Embedder interface {
	// Model names the space of the vectors. Another space has another name.
	Model() string
	// Embed is for many texts, with patience.
	Embed(ctx context.Context, texts []string) ([][]float32, error)
	// Query is for one text that somebody waits for: it answers soon or fails.
	Query(ctx context.Context, text string) ([]float32, error)
}

// Entry is what discovery knows of one agent.
type Entry struct {
	Agent          id.Agent
	Owner          id.User
	Name           string // folded
	Public         bool
	Active         bool
	Created        time.Time
	ContentChanged time.Time
	RatingSum      int64
	RatingCount    int64
	Figures        Figures // of the quality window
	Stamp          int64   // of the agent's last change
	Words          string
	Analyzer       string
	Embedded       bool   // there is a vector for the model that was asked for
	Vector         []byte // packed; empty also if the text has no direction
}

// Stamp is the last change of an agent.
type Stamp struct {
	Agent id.Agent
	Stamp int64
}

// Feed is what the memory copy of the registry is made from. It has no user: what it
// reads is filtered whenever somebody searches.
type Feed interface {
	// Horizon is where the next reading of changes must begin, and where this one
	// must end: whatever is not visible yet will have a stamp of low or more.
	Horizon(ctx context.Context) (low, high int64, err error)
	// AgentsChanged lists the changes with from <= stamp < to, deletions included.
	AgentsChanged(ctx context.Context, from, to int64) ([]Stamp, error)
	// Entries reads agents by id, in any order; those that are gone are absent.
	Entries(ctx context.Context, agents []id.Agent, model string, since Hour) ([]Entry, error)
	// AllEntries reads every agent.
	AllEntries(ctx context.Context, model string, since Hour, yield func(Entry) error) error
	// AgentsCalledBetween lists who was called in from <= hour < to.
	AgentsCalledBetween(ctx context.Context, from, to Hour) ([]id.Agent, error)
	// Outdated lists agents after an id, in the order of ids, that have no vector of
	// model, of that many bytes or empty, or words of an analyzer that sorts before
	// analyzer. Those of a later one are left to those who know it.
	Outdated(ctx context.Context, model string, bytes int, analyzer string, after id.Agent, limit int) ([]Lacking, error)
	// PutContent stores what was made for agents that have not changed since they
	// were read; others are left out.
	PutContent(ctx context.Context, made []Made, at time.Time) error
	// VectorModels counts the vectors by model.
	VectorModels(ctx context.Context) ([]ModelVectors, error)
	// DropVectors removes up to limit vectors of a model and tells how many.
	DropVectors(ctx context.Context, model string, limit int) (int64, error)
	// ForgetDeleted removes the traces of agents deleted before that time.
	ForgetDeleted(ctx context.Context, before time.Time) error
	// ForgetCalls removes the counts of calls before that hour.
	ForgetCalls(ctx context.Context, before Hour) error
	// Lease makes holder the only one who does a kind of work until a time. False:
	// somebody else is.
	Lease(ctx context.Context, name, holder string, now, until time.Time) (bool, error)
}

// Lacking is an agent that lacks something, words at least.
type Lacking struct {
	Agent  Agent
	Vector bool // it lacks a vector
}

// Made is content for an agent as it was read.
type Made struct {
	Agent   Agent
	Content Content
}

// ModelVectors tells how many vectors of a model are stored, how long they are, and when
// the last one was written.
type ModelVectors struct {
	Model   string
	Vectors int64
	Bytes   int // of the longest, packed
	Least   int // of the shortest that is not empty
	Written time.Time
}

// CatalogConfig is what a Catalog needs.
type CatalogConfig struct {
	Feed     Feed
	Embedder Embedder                    // what agents should be found by
	Older    func(model string) Embedder // for a model of before; nil if it cannot be asked any more
	Now      clock.Now
	Log      *slog.Logger
	Degraded func() // counts the searches without a model
	Changed  func() // called at once when this process has changed an agent; nil: nobody is told
}

// Catalog is this process's memory copy of the registry, made for searching. It follows
// what this and other processes write. It is safe for concurrent use.
type Catalog struct {
	CatalogConfig
	holder  string // of leases
	current atomic.Pointer[generation]
	syncs   chan chan struct{}
	next    chan *generation // loaded and waiting to serve
	lacking chan struct{}    // there is something to embed
	running atomic.Bool
	ended   chan struct{}
}

// generation is one memory copy: every agent with its vector of one model. Only the
// goroutine that follows changes it, apart from index, which is safe for all.
type generation struct {
	embedder Embedder
	model    string
	dim      int // of the vectors; 0 while there is none
	index    *search.Index[standing]
	horizon  int64
	since    Hour
	seen     map[id.Agent]int64 // stamps at or above horizon that were followed
	aged     []id.Agent         // with calls that became too old to count
	followed atomic.Int64       // when it had everything, in Unix microseconds

	mu      sync.Mutex
	lacking map[id.Agent]struct{} // without vector, or with outdated words
}

// standing is what orders an agent among those found.
type standing struct {
	stamp          int64
	contentChanged int64 // Unix seconds
	ratingSum      int64
	ratingCount    int64
	figures        Figures
}

// NewCatalog returns a Catalog without content. Load fills it, Run keeps it so.
func NewCatalog(c CatalogConfig) *Catalog {
	return &Catalog{CatalogConfig: c, holder: string(id.New[id.Agent]()), syncs: make(chan chan struct{}),
		next: make(chan *generation), lacking: make(chan struct{}, 1), ended: make(chan struct{})}
}

// Load reads the registry. If most agents have vectors of an older model only, and that
// can still be asked, it serves until the others are made.
func (c *Catalog) Load(ctx context.Context) error {
	seen, err := c.look(ctx)
	if err != nil {
		return err
	}
	have := map[string]int64{}
	for _, m := range seen.models {
		have[m.Model] = m.Vectors
	}
	embedder := c.Embedder
	for _, m := range seen.models {
		if m.Vectors <= have[embedder.Model()] || m.Model == c.Embedder.Model() {
			continue
		}
		if older := c.Older(m.Model); older != nil {
			embedder = older
		}
	}
	g, err := c.load(ctx, embedder, seen)
	if err != nil {
		return err
	}
	c.current.Store(g)
	return nil
}

// sight is what a load begins with, in this order: whatever comes later is followed.
type sight struct {
	at      time.Time
	horizon int64
	models  []ModelVectors
}

func (c *Catalog) look(ctx context.Context) (sight, error) {
	s := sight{at: c.Now()}
	var err error
	if s.horizon, _, err = c.Feed.Horizon(ctx); err != nil {
		return s, fmt.Errorf("ask for the horizon: %w", err)
	}
	if s.models, err = c.Feed.VectorModels(ctx); err != nil {
		return s, fmt.Errorf("count vectors: %w", err)
	}
	return s, nil
}

// reload is a load of now.
func (c *Catalog) reload(ctx context.Context, embedder Embedder) (*generation, error) {
	seen, err := c.look(ctx)
	if err != nil {
		return nil, err
	}
	return c.load(ctx, embedder, seen)
}

// loadBatch is how many agents are put into the index at a time.
const loadBatch = 1024

// load reads and indexes at the same time.
func (c *Catalog) load(ctx context.Context, embedder Embedder, seen sight) (*generation, error) {
	g := &generation{embedder: embedder, model: embedder.Model(), horizon: seen.horizon, since: c.qualityWindow(),
		seen: map[id.Agent]int64{}, lacking: map[id.Agent]struct{}{}}
	for _, m := range seen.models {
		if m.Model == g.model && m.Bytes > 0 {
			g.dim = m.Bytes - embedding.PackedOverhead
		}
	}
	g.index = search.New[standing](g.dim)
	batches := make(chan []Entry, 2)
	group, ctx := errgroup.WithContext(ctx)
	group.Go(func() error {
		defer close(batches)
		batch := make([]Entry, 0, loadBatch)
		err := c.Feed.AllEntries(ctx, g.model, g.since, func(e Entry) error {
			if batch = append(batch, e); len(batch) == cap(batch) {
				batches <- batch
				batch = make([]Entry, 0, loadBatch)
			}
			return nil
		})
		batches <- batch
		return err
	})
	for batch := range batches {
		g.put(batch)
	}
	if err := group.Wait(); err != nil {
		return nil, fmt.Errorf("load the registry: %w", err)
	}
	g.followed.Store(clock.Micros(seen.at))
	return g, nil
}

func (c *Catalog) qualityWindow() Hour { return HourOf(c.Now()) - qualityDays*24 }

// put takes entries over.
func (g *generation) put(entries []Entry) {
	docs := make([]search.Doc[standing], 0, len(entries))
	var inactive []search.Key
	for _, e := range entries {
		doc, err := document(e)
		g.note(e, err == nil)
		if e.Active {
			docs = append(docs, doc)
		} else {
			inactive = append(inactive, doc.Key)
		}
	}
	g.index.Remove(inactive...)
	g.index.Put(docs...)
}

// note keeps count of the agents that lack something.
func (g *generation) note(e Entry, readable bool) {
	fits := e.Embedded && (len(e.Vector) == 0 || g.dim == 0 || len(e.Vector) == g.dim+embedding.PackedOverhead)
	g.mu.Lock()
	defer g.mu.Unlock()
	if fits && (e.Analyzer > search.AnalyzerVersion || readable && e.Analyzer == search.AnalyzerVersion) {
		delete(g.lacking, e.Agent)
	} else {
		g.lacking[e.Agent] = struct{}{}
	}
}

// remove forgets agents that are gone.
func (g *generation) remove(agents []id.Agent) {
	keys := make([]search.Key, len(agents))
	for i, a := range agents {
		keys[i] = key(a)
	}
	g.index.Remove(keys...)
	g.mu.Lock()
	defer g.mu.Unlock()
	for _, a := range agents {
		delete(g.lacking, a)
	}
}

// lacks tells whether an agent lacks something.
func (g *generation) lacks() bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	return len(g.lacking) > 0
}

// firstLacking is the least id that lacks something, "" if none does.
func (g *generation) firstLacking() id.Agent {
	g.mu.Lock()
	defer g.mu.Unlock()
	var first id.Agent
	for agent := range g.lacking {
		if first == "" || agent < first {
			first = agent
		}
	}
	return first
}

func key[T ~string](s T) search.Key { return search.Key(id.Bytes(s)) }

// document is an entry as it is searched. Words that cannot be read, as those of a later
// version may be, are an error, and the document has none: it must follow all the same,
// or an agent that became private would be shown for ever.
func document(e Entry) (search.Doc[standing], error) {
	doc := search.Doc[standing]{Key: key(e.Agent), Owner: key(e.Owner), Public: e.Public, Name: strings.TrimSpace(e.Name),
		Order: clock.Micros(e.Created), Value: standing{stamp: e.Stamp, contentChanged: e.ContentChanged.Unix(),
			ratingSum: e.RatingSum, ratingCount: e.RatingCount, figures: e.Figures}}
	if len(e.Vector) > 0 {
		packed := embedding.Packed(e.Vector)
		doc.Scale, doc.Vector = packed.Scale(), packed.Int8s()
	}
	words, err := search.ParseWords(e.Words)
	if err == nil {
		doc.Words = words
	}
	return doc, err
}

// contentTime is how long a writer waits for a model.
const contentTime = 1500 * time.Millisecond

// Content makes what discovery finds a by. A model that cannot be asked now leaves no
// vector: it follows in the background.
func (c *Catalog) Content(ctx context.Context, a Agent) Content {
	made := words(a)
	embedders := []Embedder{c.Embedder}
	if g := c.current.Load(); g.model != c.Embedder.Model() {
		embedders = append(embedders, g.embedder)
	}
	ctx, cancel := context.WithTimeout(ctx, contentTime)
	defer cancel()
	vectors := make([]*Vector, len(embedders))
	var group sync.WaitGroup
	for i, e := range embedders {
		group.Go(func() {
			if v, err := e.Query(ctx, made.text); err == nil {
				vectors[i] = &Vector{e.Model(), embedding.Quantise(v)}
			}
		})
	}
	group.Wait()
	for _, v := range vectors {
		if v != nil {
			made.Vectors = append(made.Vectors, *v)
		}
	}
	return made
}
