#!/bin/sh
# Writes reference_rrdtool.json: HWPREDICT, DEVPREDICT and FAILURES of RRDtool. See README.md.
set -e
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
# A season of 24 steps of 300 s; ten of them; one hundred steps of data follow each other without a hole.
season=24 rows=480 begin=1600000200
rrdtool create "$work/hw.rrd" --start $begin --step 300 DS:v:GAUGE:600:U:U \
	RRA:AVERAGE:0.5:1:$rows \
	RRA:HWPREDICT:$rows:0.1:0.0035:$season:3 \
	RRA:SEASONAL:$season:0.1:2:smoothing-window=0 \
	RRA:DEVSEASONAL:$season:0.1:2:smoothing-window=0 \
	RRA:DEVPREDICT:$rows:4 \
	RRA:FAILURES:$rows:7:9:4
awk -v n=240 -v begin=$begin 'BEGIN {
	for (i = 1; i <= n; i++) {
		v = 200 + 60 * sin(2 * 3.14159265358979 * i / 24) + 5 * sin(i * i)
		if (i > 150 && i <= 165) v += 90
		printf "%d %.10f\n", begin + 300 * i, v
	}
}' > "$work/data"
while read -r at value; do rrdtool update "$work/hw.rrd" "$at:$value"; done < "$work/data"
column() { # the values of one archive, a line each
	rrdtool fetch "$work/hw.rrd" "$1" --start $begin --end $((begin + 300 * 240)) | awk 'NR > 2 && n++ < 240 { sub(":", "", $1); print ($2 ~ /nan/) ? "null" : $2 }' | paste -sd,
}
{
	printf '{"season":%d,"alpha":0.1,"beta":0.0035,"gamma":0.1,"data":[%s],\n' $season "$(awk '{ print $2 }' "$work/data" | paste -sd,)"
	printf '"predict":[%s],\n"deviation":[%s],\n"failures":[%s]}\n' "$(column HWPREDICT)" "$(column DEVPREDICT)" "$(column FAILURES)"
} > reference_rrdtool.json
