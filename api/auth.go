package api

// User is an account as its owner and administrators see it.
type User struct {
	ID        string  `json:"id" format:"uuid"`
	Email     string  `json:"email"`
	FirstName *string `json:"first_name"`
	LastName  *string `json:"last_name"`
	IsActive  bool    `json:"is_active"`
	Plan      string  `json:"plan" enum:"free,pro"`
	CreatedAt Time    `json:"created_at"`
	UpdatedAt Time    `json:"updated_at"`
}

// Token is the answer to a login.
type Token struct {
	AccessToken string `json:"access_token"`
	TokenType   string `json:"token_type" enum:"bearer"`
	ExpiresIn   int64  `json:"expires_in"` // seconds
}

// APIKey is a key without its text.
type APIKey struct {
	ID            string  `json:"id" format:"uuid"`
	Name          string  `json:"name"`
	IntegrationID *string `json:"integration_id"`
	CreatedAt     Time    `json:"created_at"`
	LastUsedAt    *Time   `json:"last_used_at"` // a minute behind at most
	ExpiresAt     *Time   `json:"expires_at"`
}

// APIKeyCreated is an APIKey with its text, which is shown this once.
type APIKeyCreated struct {
	ID            string  `json:"id" format:"uuid"`
	Name          string  `json:"name"`
	Key           string  `json:"key"`
	IntegrationID *string `json:"integration_id"`
	CreatedAt     Time    `json:"created_at"`
	LastUsedAt    *Time   `json:"last_used_at"`
	ExpiresAt     *Time   `json:"expires_at"`
}
