package api

// Agent is one agent of the registry, the same in details and in lists.
type Agent struct {
	ID                string   `json:"id" format:"uuid"`
	AgentID           string   `json:"agent_id"` // slug; never changes
	Name              string   `json:"name"`
	Description       string   `json:"description"`
	Version           string   `json:"version"`
	Endpoint          *string  `json:"endpoint"` // owner only; null for hosted entities
	AuthType          string   `json:"auth_type" enum:"public,api_key,bearer_token"`
	InputSchema       Object   `json:"input_schema"`
	Tags              []string `json:"tags"`
	Category          *string  `json:"category"`
	Visibility        string   `json:"visibility" enum:"public,private"`
	TrustVerification string   `json:"trust_verification" enum:"self-signed,a2a-card,hosted"`
	IsActive          bool     `json:"is_active"`
	IsBrandAgent      bool     `json:"is_brand_agent"` // always false
	SupportsStreaming bool     `json:"supports_streaming"`
	HostedEntity      *string  `json:"hosted_entity"`   // owner only
	HasCredentials    bool     `json:"has_credentials"` // false for everybody but the owner
	PricingStrategy   *string  `json:"pricing_strategy"`
	BasePrice         *float64 `json:"base_price"` // nothing is charged
	PricingEnabled    bool     `json:"pricing_enabled"`
	CreatedAt         Time     `json:"created_at"`
	UpdatedAt         Time     `json:"updated_at"`

	SimilarityScore *float64 `json:"similarity_score"` // discover only: a distance, lower is better

	RatingAvg   *float64 `json:"rating_avg"` // 2 decimals
	RatingCount int64    `json:"rating_count"`

	// Over 90 days, or the window of the list; calls that reached the agent only.
	QualitySuccessRate     *float64 `json:"quality_success_rate"`   // 0..1, 2 decimals
	QualityAvgLatencyMS    *float64 `json:"quality_avg_latency_ms"` // 2 decimals
	QualityInvocationCount int64    `json:"quality_invocation_count"`

	InvocationCount *int64 `json:"invocation_count"` // trending only
}
