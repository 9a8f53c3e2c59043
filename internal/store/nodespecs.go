package store

import (
	"context"
	"encoding/json"
	"fmt"
)

// NodeSpecs is a row of nodespecs.
type NodeSpecs struct {
	Node, OS, Kernel, CPU string
	Cores                 int
	MemoryMiB             int64
	NICs                  any // marshals to an array
}

// WriteNodeSpecs stores the facts of a machine; the row is touched only when
// they are new.
func (s *Store) WriteNodeSpecs(ctx context.Context, n NodeSpecs) error {
	nics, err := json.Marshal(n.NICs)
	if err != nil {
		return fmt.Errorf("facts of %s: %w", n.Node, err)
	}
	_, err = s.pool.Exec(ctx, `
		INSERT INTO nodespecs AS o (node, os, kernel, cpu, cores, memory_mib, nics) VALUES ($1, $2, $3, $4, $5, $6, $7)
		ON CONFLICT (node) DO UPDATE SET os = excluded.os, kernel = excluded.kernel, cpu = excluded.cpu, cores = excluded.cores,
			memory_mib = excluded.memory_mib, nics = excluded.nics, changed_at = now()
		WHERE (o.os, o.kernel, o.cpu, o.cores, o.memory_mib, o.nics)
			IS DISTINCT FROM (excluded.os, excluded.kernel, excluded.cpu, excluded.cores, excluded.memory_mib, excluded.nics)`,
		n.Node, n.OS, n.Kernel, n.CPU, n.Cores, n.MemoryMiB, nics)
	if err != nil {
		return fmt.Errorf("facts of %s: %w", n.Node, err)
	}
	return nil
}
