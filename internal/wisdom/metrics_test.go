package wisdom

import (
	"testing"

	"github.com/prometheus/client_golang/prometheus"
)

func TestInvocationsAreCountedByTheirOutcome(t *testing.T) {
	metrics := prometheus.NewRegistry()
	w := newWorld(t, func(d *Deps) { d.Demo, d.Metrics = demoServer(t), metrics })
	ada := w.signUp("ada")
	slug := w.presented(ada)["Calculator"]["agent_id"].(string)
	for _, message := range []string{"1 + 1", "2 + 2", "no numbers here"} {
		w.invoke(ada, slug, message)
	}
	families, err := metrics.Gather()
	if err != nil {
		t.Fatal(err)
	}
	got := map[string]float64{}
	for _, family := range families {
		for _, m := range family.GetMetric() {
			if family.GetName() == "intuno_invocations_total" {
				got[m.GetLabel()[0].GetValue()+" "+m.GetLabel()[1].GetValue()] = m.GetCounter().GetValue()
			}
		}
	}
	if got["invoke success"] != 2 || got["invoke agent_error"] != 1 || len(got) != 2 {
		t.Errorf("counted %v", got)
	}
}
