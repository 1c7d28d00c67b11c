package registration

import "context"

// Step makes one attempt, if a job is due.
func (w *Worker) Step(ctx context.Context) (did bool, err error) {
	jobs, err := w.claim(ctx, 1)
	if err != nil || len(jobs) == 0 {
		return false, err
	}
	return true, w.work(ctx, jobs[0])
}
