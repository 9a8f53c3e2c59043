package web

const topologySpan = "1d"
