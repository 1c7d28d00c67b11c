package api

// Usage is what a user has used of the plan.
type Usage struct {
	Plan     string `json:"plan"` // "free" or "pro"
	Entities Used   `json:"entities"`
	Messages Used   `json:"messages"`  // in this calendar month, UTC
	ResetsAt Time   `json:"resets_at"` // when the next month begins
}

// Used is how much of a limit is taken. It may be more than the limit, after the
// plan or the limit was lowered.
type Used struct {
	Used  int `json:"used"`
	Limit int `json:"limit"`
}
