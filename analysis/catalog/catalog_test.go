package catalog_test

import (
	"testing"

	"sonde/analysis"
	"sonde/analysis/catalog"
	"sonde/internal/measure"
)

func TestEveryRuleMakesADetector(t *testing.T) {
	methods := map[string]analysis.Method{}
	for _, m := range catalog.All() {
		if _, twice := methods[m.Name]; twice {
			t.Errorf("method %s is listed twice", m.Name)
		}
		methods[m.Name] = m
	}
	seen := map[string]bool{}
	for _, r := range catalog.Rules() {
		m, ok := methods[r.Method]
		if !ok || seen[r.Name] {
			t.Errorf("rule %q: no method %q, or the name comes twice", r.Name, r.Method)
			continue
		}
		seen[r.Name] = true
		o, err := measure.ReadOptions(m.Options, r.Options)
		if err != nil {
			t.Errorf("rule %q: %v", r.Name, err)
			continue
		}
		if _, err := m.New(o, nil); err != nil {
			t.Errorf("rule %q: %v", r.Name, err)
		}
	}
}
