package api

// Rating is what a user thinks of an agent.
type Rating struct {
	ID        string  `json:"id" format:"uuid"`
	UserID    string  `json:"user_id" format:"uuid"`
	AgentID   string  `json:"agent_id" format:"uuid"` // the agent's id, not its slug
	Score     int     `json:"score"`                  // 1 to 5
	Comment   *string `json:"comment"`
	CreatedAt Time    `json:"created_at"`
	UpdatedAt Time    `json:"updated_at"`
}
