package wisdom

import (
	"crypto/hmac"
	"crypto/sha256"
	"math"
	"net/netip"
	"net/url"
	"path/filepath"
	"strings"
	"time"

	"github.com/IntunoAI/intuno-go/internal/config"
	"github.com/IntunoAI/intuno-go/internal/egress"
	"github.com/IntunoAI/intuno-go/internal/secret"
)

// Config is every variable of wisdom (contract §17), one field each. A time.Duration
// is given in seconds. Fields for capabilities that are not served yet are parsed
// and checked all the same, so that a typing error shows when it is made.
type Config struct {
	Environment   string        `env:"ENVIRONMENT" envDefault:"development"`
	Addr          string        `env:"WISDOM_ADDR" envDefault:"127.0.0.1:8000"`
	OpsAddr       string        `env:"OPS_ADDR" envDefault:"127.0.0.1:9090"`
	BaseURL       string        `env:"BASE_URL"` // default http://localhost:8000, set by ParseConfig outside production
	DataDir       string        `env:"DATA_DIR" envDefault:"./data"`
	DatabaseURL   secret.String `env:"DATABASE_URL"` // default sqlite:DATA_DIR/wisdom.db, set by ParseConfig
	MaxBodyBytes  int64         `env:"MAX_BODY_BYTES" envDefault:"1048576"`
	ShutdownGrace time.Duration `env:"SHUTDOWN_GRACE_SECONDS" envDefault:"20"`
	LogLevel      string        `env:"LOG_LEVEL" envDefault:"info"`

	JWTSecretKey             secret.String `env:"JWT_SECRET_KEY"`
	JWTExpirationMinutes     int           `env:"JWT_EXPIRATION_MINUTES" envDefault:"10080"`
	CredentialsEncryptionKey secret.String `env:"CREDENTIALS_ENCRYPTION_KEY"` // comma list, see SealingKeys
	CallbackSigningKey       secret.String `env:"CALLBACK_SIGNING_KEY"`
	AgentsServiceAPIKey      secret.String `env:"AGENTS_SERVICE_API_KEY"` // comma list, see ServiceKeys
	RegistrationOpen         bool          `env:"REGISTRATION_OPEN" envDefault:"true"`

	AgentsBaseURL     string        `env:"INTUNO_AGENTS_BASE_URL" envDefault:"http://localhost:8001"`
	AgentsAPIKey      secret.String `env:"INTUNO_AGENTS_API_KEY"`
	AgentsTimeout     time.Duration `env:"INTUNO_AGENTS_TIMEOUT_SECONDS" envDefault:"30"`
	AgentsChatTimeout time.Duration `env:"INTUNO_AGENTS_CHAT_TIMEOUT_SECONDS" envDefault:"60"`

	FreeEntityCap         int `env:"PERSONAL_FREE_TIER_ENTITY_CAP" envDefault:"1"`
	ProEntityCap          int `env:"PERSONAL_PRO_TIER_ENTITY_CAP" envDefault:"3"`
	FreeMessagesPerMinute int `env:"PERSONAL_FREE_TIER_MESSAGES_PER_MINUTE" envDefault:"20"`
	ProMessagesPerMinute  int `env:"PERSONAL_PRO_TIER_MESSAGES_PER_MINUTE" envDefault:"60"`
	FreeMessagesPerMonth  int `env:"PERSONAL_FREE_TIER_MESSAGES_PER_MONTH" envDefault:"500"`
	ProMessagesPerMonth   int `env:"PERSONAL_PRO_TIER_MESSAGES_PER_MONTH" envDefault:"10000"`
	// SlotSettle is how old an unsettled entity slot must be before the host is
	// asked for its name: longer than any create can still be on its way (contract §9.4).
	SlotSettle time.Duration `env:"PERSONAL_SLOT_SETTLE_SECONDS" envDefault:"90"`

	EmbeddingBaseURL string        `env:"EMBEDDING_BASE_URL"`
	EmbeddingAPIKey  secret.String `env:"EMBEDDING_API_KEY"`
	EmbeddingModel   string        `env:"EMBEDDING_MODEL"`

	BrokerTimeout              time.Duration `env:"BROKER_TIMEOUT_SECONDS" envDefault:"25"`
	NetworkMaxParticipants     int           `env:"NETWORK_MAX_PARTICIPANTS" envDefault:"50"`
	NetworkCallTimeout         time.Duration `env:"NETWORK_CALL_TIMEOUT_SECONDS" envDefault:"25"`
	NetworkDeliveryMaxAttempts int           `env:"NETWORK_DELIVERY_MAX_ATTEMPTS" envDefault:"8"`
	NetworkDeliveryBackoff     time.Duration `env:"NETWORK_DELIVERY_BACKOFF_SECONDS" envDefault:"2"`
	InvokeEndpointAllowedHosts string        `env:"INVOKE_ENDPOINT_ALLOWED_HOSTS"` // comma list
	EgressAllowlistOnly        bool          `env:"EGRESS_ALLOWLIST_ONLY" envDefault:"false"`
	RateLimitPerMinute         int           `env:"RATE_LIMIT_PER_MINUTE" envDefault:"120"` // 0 = off
	TrustedProxies             string        `env:"TRUSTED_PROXIES"`                        // comma list, see TrustedProxyPrefixes
	CORSAllowedOrigins         string        `env:"CORS_ALLOWED_ORIGINS"`                   // comma list, see Origins

	// Host is what this environment happens to say about the other service. It is
	// only compared; unset means not known.
	Host struct {
		HostDatabaseURL secret.String `env:"AGENTS_DATABASE_URL"`
		HostAPIKey      secret.String `env:"AGENTS_API_KEY"`
		HostLLMKey      secret.String `env:"LLM_API_KEY"`
		HostTurnTimeout time.Duration `env:"TURN_TIMEOUT_SECONDS"`
	}
}

// ParseConfig reads the variables of wisdom and fills in the defaults that depend
// on others. The errors are those of unreadable values only; Check has the rest.
func ParseConfig(vars map[string]string) (Config, []error) {
	var c Config
	faults := config.Parse(&c, vars)
	if c.BaseURL == "" && !c.Production() {
		c.BaseURL = "http://localhost:8000"
	}
	for _, base := range []*string{&c.BaseURL, &c.AgentsBaseURL, &c.EmbeddingBaseURL} {
		*base = strings.TrimRight(*base, "/")
	}
	if c.DatabaseURL.Blank() {
		c.DatabaseURL = secret.New("sqlite:" + filepath.Join(c.DataDir, "wisdom.db"))
	}
	return c, faults
}

// Production reports whether the rules of production hold.
func (c *Config) Production() bool { return config.Production(c.Environment) }

// ServiceKeys are the secrets that open the delegation path; none turns it off.
// The first is the current one.
func (c *Config) ServiceKeys() []secret.String { return config.SplitSecrets(c.AgentsServiceAPIKey) }

// EncryptionKeys are the secrets that protect what is kept, the current one first.
func (c *Config) EncryptionKeys() []secret.String {
	return config.SplitSecrets(c.CredentialsEncryptionKey)
}

// SealingKeys are the EncryptionKeys and behind them the JWT secret: it seals while
// there are none, and opens what it has sealed before there were.
func (c *Config) SealingKeys() []secret.String {
	return append(c.EncryptionKeys(), c.JWTSecretKey)
}

// CallbackKey signs reply URLs: CALLBACK_SIGNING_KEY, or what contract §6.7 derives from
// the JWT secret while there is none.
func (c *Config) CallbackKey() secret.String {
	if !c.CallbackSigningKey.Blank() {
		return c.CallbackSigningKey
	}
	mac := hmac.New(sha256.New, []byte(c.JWTSecretKey.Reveal()))
	mac.Write([]byte("intuno/callback-signing/v1"))
	return secret.New(string(mac.Sum(nil)))
}

// Origins are the origins that CORS allows; "*" is any.
func (c *Config) Origins() []string { return config.Split(c.CORSAllowedOrigins) }

// AllowedHosts are the exceptions from the address rules of egress (contract §16).
func (c *Config) AllowedHosts() []egress.HostRule {
	rules, _ := egress.ParseAllowedHosts(c.InvokeEndpointAllowedHosts) // Check has told the faults
	return rules
}

// TrustedProxyPrefixes are the peers whose X-Forwarded-For counts.
func (c *Config) TrustedProxyPrefixes() []netip.Prefix {
	var list []netip.Prefix
	for _, text := range config.Split(c.TrustedProxies) {
		if p, err := config.Prefix(text); err == nil {
			list = append(list, p)
		}
	}
	return list
}

// TokenLifetime is how long an access token lives.
func (c *Config) TokenLifetime() time.Duration {
	return time.Duration(c.JWTExpirationMinutes) * time.Minute
}

// Check returns every fault of the configuration (contract §17),
// one line each, without any value. A process with a fault must not start.
func (c *Config) Check() []error {
	var k config.Checks
	k.Environment(c.Environment)
	k.Addr("WISDOM_ADDR", c.Addr)
	k.LoopbackAddr("OPS_ADDR", c.OpsAddr)
	k.Database("DATABASE_URL", c.DatabaseURL)
	k.OwnDatabase(c.DatabaseURL, c.Host.HostDatabaseURL)
	if c.MaxBodyBytes < 1024 {
		k.Fault("MAX_BODY_BYTES", "must be at least 1024")
	}
	k.Seconds("SHUTDOWN_GRACE_SECONDS", c.ShutdownGrace, time.Hour)
	k.LogLevel(c.LogLevel)
	c.checkAccounts(&k)
	c.checkPersonal(&k)
	c.checkOutbound(&k)
	c.checkEdge(&k)
	if c.Production() {
		c.checkProduction(&k)
	}
	return k.Faults
}

func (c *Config) checkAccounts(k *config.Checks) {
	if c.JWTSecretKey.Blank() {
		k.Fault("JWT_SECRET_KEY", "is required: set at least %d random bytes", config.MinSecret)
	}
	k.Bytes("JWT_SECRET_KEY", c.JWTSecretKey)
	k.Int("JWT_EXPIRATION_MINUTES", c.JWTExpirationMinutes, 1, 10*366*24*60)
	c.checkEncryptionKeys(k)
	k.Bytes("CALLBACK_SIGNING_KEY", c.CallbackSigningKey)
	k.ServiceKeys("AGENTS_SERVICE_API_KEY", c.AgentsServiceAPIKey)
}

func (c *Config) checkEncryptionKeys(k *config.Checks) {
	const name = "CREDENTIALS_ENCRYPTION_KEY"
	for i, key := range c.EncryptionKeys() {
		switch {
		case key.Blank():
			k.Fault(name, "element %d of the list is empty: remove the extra comma", i+1)
		case key.Len() < config.MinSecret:
			k.Fault(name, "element %d of the list must be at least %d bytes long", i+1, config.MinSecret)
		}
	}
}

func (c *Config) checkPersonal(k *config.Checks) {
	k.URL("INTUNO_AGENTS_BASE_URL", c.AgentsBaseURL)
	k.HeaderKey("INTUNO_AGENTS_API_KEY", c.AgentsAPIKey, c.minHostKey())
	k.Seconds("INTUNO_AGENTS_TIMEOUT_SECONDS", c.AgentsTimeout, time.Hour)
	k.Seconds("INTUNO_AGENTS_CHAT_TIMEOUT_SECONDS", c.AgentsChatTimeout, time.Hour)
	k.TurnTimeout(c.Host.HostTurnTimeout, c.AgentsChatTimeout)
	k.Int("PERSONAL_FREE_TIER_ENTITY_CAP", c.FreeEntityCap, 0, math.MaxInt)
	k.Int("PERSONAL_PRO_TIER_ENTITY_CAP", c.ProEntityCap, 0, math.MaxInt)
	k.Int("PERSONAL_FREE_TIER_MESSAGES_PER_MINUTE", c.FreeMessagesPerMinute, 1, math.MaxInt)
	k.Int("PERSONAL_PRO_TIER_MESSAGES_PER_MINUTE", c.ProMessagesPerMinute, 1, math.MaxInt)
	k.Int("PERSONAL_FREE_TIER_MESSAGES_PER_MONTH", c.FreeMessagesPerMonth, 1, math.MaxInt)
	k.Int("PERSONAL_PRO_TIER_MESSAGES_PER_MONTH", c.ProMessagesPerMonth, 1, math.MaxInt)
	if c.SlotSettle <= c.AgentsTimeout {
		k.Fault("PERSONAL_SLOT_SETTLE_SECONDS", "must be more than INTUNO_AGENTS_TIMEOUT_SECONDS")
	}
}

func (c *Config) checkOutbound(k *config.Checks) {
	if c.EmbeddingBaseURL != "" {
		k.URL("EMBEDDING_BASE_URL", c.EmbeddingBaseURL)
	}
	k.HeaderKey("EMBEDDING_API_KEY", c.EmbeddingAPIKey, 0)
	k.Seconds("BROKER_TIMEOUT_SECONDS", c.BrokerTimeout, time.Hour)
	k.Int("NETWORK_MAX_PARTICIPANTS", c.NetworkMaxParticipants, 1, math.MaxInt)
	k.Seconds("NETWORK_CALL_TIMEOUT_SECONDS", c.NetworkCallTimeout, 25*time.Second)
	k.Int("NETWORK_DELIVERY_MAX_ATTEMPTS", c.NetworkDeliveryMaxAttempts, 1, 1000)
	k.Seconds("NETWORK_DELIVERY_BACKOFF_SECONDS", c.NetworkDeliveryBackoff, 300*time.Second)
	if _, err := egress.ParseAllowedHosts(c.InvokeEndpointAllowedHosts); err != nil {
		k.Fault("INVOKE_ENDPOINT_ALLOWED_HOSTS", "must list host names, *. globs or addresses, each with an optional :port, without a scheme or path")
	}
}

func (c *Config) checkEdge(k *config.Checks) {
	if c.BaseURL != "" {
		k.Origin("BASE_URL", c.BaseURL)
	}
	k.Int("RATE_LIMIT_PER_MINUTE", c.RateLimitPerMinute, 0, math.MaxInt)
	for _, text := range config.Split(c.TrustedProxies) {
		if _, err := config.Prefix(text); err != nil {
			k.Fault("TRUSTED_PROXIES", "must list CIDR blocks, such as 10.0.0.0/8")
			break
		}
	}
	for _, origin := range c.Origins() {
		u, err := url.Parse(origin)
		if origin != "*" && (err != nil || u.Host == "" || origin != u.Scheme+"://"+u.Host) {
			k.Fault("CORS_ALLOWED_ORIGINS", "must list origins such as https://app.example.org, without a path or trailing slash")
			break
		}
	}
}

func (c *Config) checkProduction(k *config.Checks) {
	if c.BaseURL == "" {
		k.Fault("BASE_URL", "is required in production: set the public origin")
	}
	for _, origin := range c.Origins() {
		if origin == "*" {
			k.Fault("CORS_ALLOWED_ORIGINS", "must not contain * in production: list the origins")
		}
	}
	if config.WellKnown(c.JWTSecretKey) {
		k.Fault("JWT_SECRET_KEY", "is a well-known value: set at least %d random bytes", config.MinSecret)
	}
	secrets := []config.Named{
		{Name: "JWT_SECRET_KEY", Value: c.JWTSecretKey},
		{Name: "CALLBACK_SIGNING_KEY", Value: c.CallbackSigningKey},
		{Name: "EMBEDDING_API_KEY", Value: c.EmbeddingAPIKey},
		{Name: "LLM_API_KEY", Value: c.Host.HostLLMKey}, // sent to the provider: it must not be a key of ours
	}
	for _, key := range c.EncryptionKeys() {
		secrets = append(secrets, config.Named{Name: "CREDENTIALS_ENCRYPTION_KEY", Value: key})
	}
	for _, key := range c.ServiceKeys() {
		secrets = append(secrets, config.Named{Name: "AGENTS_SERVICE_API_KEY", Value: key})
	}
	k.Distinct(append(secrets,
		config.Named{Name: "INTUNO_AGENTS_API_KEY", Value: c.AgentsAPIKey},
		config.Named{Name: "AGENTS_API_KEY", Value: c.Host.HostAPIKey})...)
}

// minHostKey is the least length of the key shared with the host, in characters.
func (c *Config) minHostKey() int {
	if c.Production() {
		return config.MinSecret
	}
	return 0
}
