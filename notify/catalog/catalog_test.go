package catalog_test

import (
	"sort"
	"testing"

	"sonde/notify/catalog"
)

func TestMediumsAreListedOnceInOrder(t *testing.T) {
	var names []string
	seen := map[string]bool{}
	for _, typ := range catalog.All() {
		names = append(names, typ.Name)
		if seen[typ.Name] {
			t.Errorf("%s is listed twice", typ.Name)
		}
		seen[typ.Name] = true
		if typ.New == nil || typ.Meaning == "" {
			t.Errorf("%s is not complete", typ.Name)
		}
		if found, ok := catalog.Find(typ.Name); !ok || found.Name != typ.Name {
			t.Errorf("%s is not found by its name", typ.Name)
		}
	}
	if !sort.StringsAreSorted(names) {
		t.Errorf("not in order: %v", names)
	}
	if _, ok := catalog.Find("pigeon"); ok {
		t.Error("a medium that nobody wrote was found")
	}
}
