package topology

import (
	"math"
	"slices"
	"sort"
)

// vertex is a node, or a bend of an edge that passes a layer.
type vertex struct {
	node    int // place in Nodes; -1 for a bend
	layer   int
	in, out []int
	order   int     // within the layer
	y       float64 // in rows
}

// Layout says where everything lies.
type Layout struct {
	Graph
	Layers int
	X, Y   []float64 // of each node: layer, and row
	Bends  [][][2]float64
	Rows   float64
}

// sweeps is how often the order of the layers is worked over, there and back.
const sweeps = 24

// Lay finds places for the nodes of a graph.
func Lay(g Graph) Layout {
	l := Layout{Graph: g, X: make([]float64, len(g.Nodes)), Y: make([]float64, len(g.Nodes)), Bends: make([][][2]float64, len(g.Edges))}
	if len(g.Nodes) == 0 {
		return l
	}
	layers := layersOf(g)
	l.Layers = slices.Max(layers) + 1
	vs := make([]vertex, len(g.Nodes), len(g.Nodes)*2)
	for i := range g.Nodes {
		vs[i] = vertex{node: i, layer: layers[i]}
	}
	join := func(a, b int) {
		vs[a].out = append(vs[a].out, b)
		vs[b].in = append(vs[b].in, a)
	}
	chains := make([][]int, len(g.Edges))
	for i, e := range g.Edges {
		from, to := e.From, e.To
		back := layers[from] > layers[to]
		if back {
			from, to = to, from
		}
		at := from
		for layer := layers[from] + 1; layer < layers[to]; layer++ {
			vs = append(vs, vertex{node: -1, layer: layer})
			chains[i] = append(chains[i], len(vs)-1)
			join(at, len(vs)-1)
			at = len(vs) - 1
		}
		join(at, to)
		if back {
			slices.Reverse(chains[i])
		}
	}
	rows := order(vs, l.Layers)
	settle(vs, rows)
	low := math.Inf(1)
	for _, v := range vs {
		low = min(low, v.y)
	}
	for i := range vs {
		vs[i].y -= low
		l.Rows = max(l.Rows, vs[i].y+1)
	}
	for i := range g.Nodes {
		l.X[i], l.Y[i] = float64(vs[i].layer), vs[i].y
	}
	for i, c := range chains {
		for _, v := range c {
			l.Bends[i] = append(l.Bends[i], [2]float64{float64(vs[v].layer), vs[v].y})
		}
	}
	return l
}

// layersOf gives each node the longest way from a source to it, edges that
// close a circle left out. Targets from which nothing leads on are in the last layer.
func layersOf(g Graph) []int {
	out := make([][]int, len(g.Nodes))
	in := make([]int, len(g.Nodes))
	for _, e := range g.Edges {
		out[e.From] = append(out[e.From], e.To)
	}
	// A walk in depth from the sources on: an edge to a node that is being walked closes a circle.
	state := make([]int, len(g.Nodes)) // 0 new, 1 being walked, 2 done
	forward := make([][]int, len(g.Nodes))
	var walk func(int)
	walk = func(n int) {
		state[n] = 1
		for _, to := range out[n] {
			if state[to] == 1 {
				continue
			}
			forward[n] = append(forward[n], to)
			in[to]++
			if state[to] == 0 {
				walk(to)
			}
		}
		state[n] = 2
	}
	for _, sources := range []bool{true, false} {
		for i, n := range g.Nodes {
			if state[i] == 0 && (n.Kind == Source) == sources {
				walk(i)
			}
		}
	}
	layers := make([]int, len(g.Nodes))
	var ready []int
	for i := range g.Nodes {
		if in[i] == 0 {
			ready = append(ready, i)
		}
	}
	last := 0
	for len(ready) > 0 {
		n := ready[0]
		ready = ready[1:]
		for _, to := range forward[n] {
			layers[to] = max(layers[to], layers[n]+1)
			last = max(last, layers[to])
			if in[to]--; in[to] == 0 {
				ready = append(ready, to)
			}
		}
	}
	for i, n := range g.Nodes {
		if n.Kind == Target && len(out[i]) == 0 {
			layers[i] = last
		}
	}
	return layers
}

// order finds an order within the layers in which few edges cross.
func order(vs []vertex, layers int) [][]int {
	rows := make([][]int, layers)
	// A walk in depth puts what belongs together side by side.
	seen := make([]bool, len(vs))
	var walk func(int)
	walk = func(v int) {
		seen[v] = true
		rows[vs[v].layer] = append(rows[vs[v].layer], v)
		for _, to := range vs[v].out {
			if !seen[to] {
				walk(to)
			}
		}
	}
	for v := range vs {
		if len(vs[v].in) == 0 && !seen[v] {
			walk(v)
		}
	}
	for v := range vs {
		if !seen[v] {
			walk(v)
		}
	}
	number(vs, rows)
	best, fewest := clone(rows), crossings(vs, rows)
	for s := range sweeps {
		if fewest == 0 {
			break
		}
		if s%2 == 0 {
			for _, row := range rows {
				arrange(vs, row, func(v int) []int { return vs[v].in })
			}
		} else {
			for _, row := range slices.Backward(rows) {
				arrange(vs, row, func(v int) []int { return vs[v].out })
			}
		}
		if n := crossings(vs, rows); n < fewest {
			best, fewest = clone(rows), n
		}
	}
	number(vs, best)
	return best
}

func clone(rows [][]int) [][]int {
	out := make([][]int, len(rows))
	for i, r := range rows {
		out[i] = slices.Clone(r)
	}
	return out
}

func number(vs []vertex, rows [][]int) {
	for _, row := range rows {
		for i, v := range row {
			vs[v].order = i
		}
	}
}

// arrange sorts a layer by the middle of its neighbours; who has none stays.
func arrange(vs []vertex, row []int, neighbours func(int) []int) {
	middle := make(map[int]float64, len(row))
	for _, v := range row {
		list := neighbours(v)
		middle[v] = float64(vs[v].order)
		if len(list) > 0 {
			sum := 0
			for _, n := range list {
				sum += vs[n].order
			}
			middle[v] = float64(sum) / float64(len(list))
		}
	}
	sort.SliceStable(row, func(i, j int) bool { return middle[row[i]] < middle[row[j]] })
	for i, v := range row {
		vs[v].order = i
	}
}

// crossings counts the pairs of edges between neighbouring layers that cross.
func crossings(vs []vertex, rows [][]int) int {
	n := 0
	for _, row := range rows {
		var ends []int // of the edges in order of their beginnings
		for _, v := range row {
			at := len(ends)
			for _, to := range vs[v].out {
				ends = append(ends, vs[to].order)
			}
			sort.Ints(ends[at:])
		}
		n += inversions(ends)
	}
	return n
}

// inversions counts by merging how many pairs stand the wrong way round.
func inversions(list []int) int {
	if len(list) < 2 {
		return 0
	}
	a, b := slices.Clone(list[:len(list)/2]), slices.Clone(list[len(list)/2:])
	n := inversions(a) + inversions(b)
	for i := range list {
		switch {
		case len(b) == 0 || len(a) > 0 && a[0] <= b[0]:
			list[i], a = a[0], a[1:]
		default:
			n += len(a)
			list[i], b = b[0], b[1:]
		}
	}
	return n
}

// Distances within a layer, in rows.
const (
	nodeGap = 1.0
	bendGap = 0.4
)

// settle finds rows: each vertex near the middle of its neighbours, in order and
// not too close.
func settle(vs []vertex, rows [][]int) {
	for _, row := range rows {
		at := 0.0
		for i, v := range row {
			if i > 0 {
				at += gap(vs, row[i-1], v)
			}
			vs[v].y = at
		}
		for _, v := range row {
			vs[v].y -= at / 2
		}
	}
	for round := range 16 {
		for i := range rows {
			row := rows[i]
			if round%2 == 1 {
				row = rows[len(rows)-1-i]
			}
			wish := make([]float64, len(row))
			weight := make([]float64, len(row))
			for j, v := range row {
				sum, n := 0.0, 0.0
				for _, list := range [][]int{vs[v].in, vs[v].out} {
					for _, o := range list {
						w := 1.0
						if vs[v].node < 0 && vs[o].node < 0 {
							w = 4 // long edges run straight
						}
						sum, n = sum+w*vs[o].y, n+w
					}
				}
				wish[j], weight[j] = vs[v].y, 1
				if n > 0 {
					wish[j], weight[j] = sum/n, n
				}
			}
			for j, y := range apart(vs, row, wish, weight) {
				vs[row[j]].y = y
			}
		}
	}
}

func gap(vs []vertex, a, b int) float64 {
	if vs[a].node >= 0 && vs[b].node >= 0 {
		return nodeGap
	}
	if vs[a].node < 0 && vs[b].node < 0 {
		return bendGap
	}
	return (nodeGap + bendGap) / 2
}

// apart gives the places nearest to the wishes that keep order and distance:
// with the distances taken off, a regression that never falls, by pooling
// neighbours that stand the wrong way round.
func apart(vs []vertex, row []int, wish, weight []float64) []float64 {
	type block struct {
		mean, weight float64
		n            int
	}
	offset := make([]float64, len(row))
	var blocks []block
	for i := range row {
		if i > 0 {
			offset[i] = offset[i-1] + gap(vs, row[i-1], row[i])
		}
		b := block{wish[i] - offset[i], weight[i], 1}
		for len(blocks) > 0 && blocks[len(blocks)-1].mean > b.mean {
			o := blocks[len(blocks)-1]
			blocks = blocks[:len(blocks)-1]
			w := o.weight + b.weight
			b = block{(o.mean*o.weight + b.mean*b.weight) / w, w, o.n + b.n}
		}
		blocks = append(blocks, b)
	}
	out := make([]float64, 0, len(row))
	for _, b := range blocks {
		for range b.n {
			out = append(out, b.mean+offset[len(out)])
		}
	}
	return out
}
