// Package topology merges routes of several sources and targets into one
// picture, and draws it.
//
//	paths ─Merge─▶ nodes and edges ─Lay─▶ layers, places ─SVG─▶ picture
//
//	(lab)──▶[gw]──▶[mx1.ham]──▶ ( * ) ──▶[kr-desy]──▶ desy
//	           └──▶[mx2.ham]──────────────────┘
//
// Routers are merged by address. A router that stays silent has none: silent
// hops that follow each other are one dashed circle, and the same one wherever
// they stand between the same two neighbours. Every flow of a run is drawn, so
// that the arms of a load-balanced path are seen.
//
// The layout is that of Sugiyama, Tagawa and Toda (IEEE Trans. SMC 11, 1981):
// layers by the longest path from a source, with the targets in the last one;
// order within a layer by the barycentre of the neighbours, the sweep with the
// fewest crossings kept; places by least squares that keep the order (pool
// adjacent violators). It is the same for the same paths, so that a picture does
// not jump when it is read again.
//
// Too many nodes make no picture: ByAS merges each AS into one node.
package topology
