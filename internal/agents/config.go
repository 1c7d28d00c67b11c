package agents

import (
	"path/filepath"
	"strings"
	"time"

	"github.com/IntunoAI/intuno-go/internal/config"
	"github.com/IntunoAI/intuno-go/internal/secret"
)

// Config is every variable of wisdom-agents (contract §17), one field each. A
// time.Duration is given in seconds.
type Config struct {
	Environment     string        `env:"ENVIRONMENT" envDefault:"development"`
	Addr            string        `env:"AGENTS_ADDR" envDefault:"127.0.0.1:8001"`
	AllowPublicBind bool          `env:"AGENTS_ALLOW_PUBLIC_BIND" envDefault:"false"`
	OpsAddr         string        `env:"OPS_ADDR" envDefault:"127.0.0.1:9091"`
	DataDir         string        `env:"DATA_DIR" envDefault:"./data"`
	DatabaseURL     secret.String `env:"AGENTS_DATABASE_URL"` // default sqlite:DATA_DIR/agents.db, set by ParseConfig
	MaxBodyBytes    int64         `env:"MAX_BODY_BYTES" envDefault:"1048576"`
	ShutdownGrace   time.Duration `env:"SHUTDOWN_GRACE_SECONDS" envDefault:"20"`
	LogLevel        string        `env:"LOG_LEVEL" envDefault:"info"`

	APIKey              secret.String `env:"AGENTS_API_KEY"`
	WisdomBaseURL       string        `env:"INTUNO_BASE_URL" envDefault:"http://localhost:8000"`
	AgentsServiceAPIKey secret.String `env:"AGENTS_SERVICE_API_KEY"` // see ServiceKey

	LLMBaseURL        string        `env:"LLM_BASE_URL"`
	LLMAPIKey         secret.String `env:"LLM_API_KEY"`
	LLMModel          string        `env:"LLM_MODEL"`
	RouterMaxDistance float64       `env:"ROUTER_MAX_DISTANCE" envDefault:"1.8"`
	TurnTimeout       time.Duration `env:"TURN_TIMEOUT_SECONDS" envDefault:"55"`

	// Wisdom is what this environment happens to say about the other service. It is
	// only compared; unset means not known.
	Wisdom struct {
		WisdomDatabaseURL secret.String `env:"DATABASE_URL"`
		WisdomChatTimeout time.Duration `env:"INTUNO_AGENTS_CHAT_TIMEOUT_SECONDS"`
	}
}

// ParseConfig reads the variables of wisdom-agents and fills in the defaults that
// depend on others. The errors are those of unreadable values only; Check has the rest.
func ParseConfig(vars map[string]string) (Config, []error) {
	var c Config
	faults := config.Parse(&c, vars)
	c.WisdomBaseURL = strings.TrimRight(c.WisdomBaseURL, "/")
	c.LLMBaseURL = strings.TrimRight(c.LLMBaseURL, "/")
	if c.DatabaseURL.Blank() {
		c.DatabaseURL = secret.New("sqlite:" + filepath.Join(c.DataDir, "agents.db"))
	}
	return c, faults
}

// Production reports whether the rules of production hold.
func (c *Config) Production() bool { return config.Production(c.Environment) }

// ServiceKey is the secret that this host sends to wisdom: the first of the list,
// so that one environment can serve both services. Blank: delegation is off.
func (c *Config) ServiceKey() secret.String {
	if keys := config.SplitSecrets(c.AgentsServiceAPIKey); len(keys) > 0 {
		return keys[0]
	}
	return secret.String{}
}

// Check returns every fault of the configuration (contract §17),
// one line each, without any value. A process with a fault must not start.
func (c *Config) Check() []error {
	var k config.Checks
	k.Environment(c.Environment)
	if host, ok := k.Addr("AGENTS_ADDR", c.Addr); ok && !config.Private(host) && !c.AllowPublicBind {
		k.Fault("AGENTS_ADDR", "is neither a loopback nor a private address: change it, or permit it with AGENTS_ALLOW_PUBLIC_BIND=true")
	}
	k.LoopbackAddr("OPS_ADDR", c.OpsAddr)
	k.Database("AGENTS_DATABASE_URL", c.DatabaseURL)
	k.OwnDatabase(c.Wisdom.WisdomDatabaseURL, c.DatabaseURL)
	if c.MaxBodyBytes < 1024 {
		k.Fault("MAX_BODY_BYTES", "must be at least 1024")
	}
	k.Seconds("SHUTDOWN_GRACE_SECONDS", c.ShutdownGrace, time.Hour)
	k.LogLevel(c.LogLevel)

	least := 0
	if c.Production() {
		least = config.MinSecret
	}
	if c.APIKey.Blank() {
		k.Fault("AGENTS_API_KEY", "is required: set the value that wisdom has as INTUNO_AGENTS_API_KEY")
	}
	k.HeaderKey("AGENTS_API_KEY", c.APIKey, least)
	k.ServiceKeys("AGENTS_SERVICE_API_KEY", c.AgentsServiceAPIKey)
	k.URL("INTUNO_BASE_URL", c.WisdomBaseURL)

	if c.LLMBaseURL != "" {
		k.URL("LLM_BASE_URL", c.LLMBaseURL)
		if c.LLMModel == "" {
			k.Fault("LLM_MODEL", "is required with LLM_BASE_URL: set the name of a model that the endpoint serves")
		}
	}
	k.HeaderKey("LLM_API_KEY", c.LLMAPIKey, 0)
	if !(c.RouterMaxDistance >= 0 && c.RouterMaxDistance <= 4) { // refuses NaN too
		k.Fault("ROUTER_MAX_DISTANCE", "must be between 0 and 4")
	}
	k.Seconds("TURN_TIMEOUT_SECONDS", c.TurnTimeout, time.Hour)
	k.TurnTimeout(c.TurnTimeout, c.Wisdom.WisdomChatTimeout)
	if c.Production() {
		secrets := []config.Named{{Name: "AGENTS_API_KEY", Value: c.APIKey}, {Name: "LLM_API_KEY", Value: c.LLMAPIKey}}
		for _, key := range config.SplitSecrets(c.AgentsServiceAPIKey) {
			secrets = append(secrets, config.Named{Name: "AGENTS_SERVICE_API_KEY", Value: key})
		}
		k.Distinct(secrets...)
	}
	return k.Faults
}
