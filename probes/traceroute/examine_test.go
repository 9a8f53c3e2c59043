package traceroute

import (
	"testing"

	"sonde/internal/lab"
	"sonde/probes/probetest"
)

func TestTraceroutePassesTheExamination(t *testing.T) {
	src, routers, dst := lab.New(t).Chain(2)
	silent := dst.V4()
	far := lab.Uplink(dst, true)
	routers[0].Drop("ip daddr " + silent.String())
	probetest.Examine(t, Tool(), probetest.Peer{
		Answering:      far.String(),
		Options:        `{"timeout": "500ms"}`,
		Silent:         silent.String(),
		SilentOptions:  `{"timeout": "100ms", "max_silent": 2}`,
		PatientOptions: `{"timeout": "1m"}`,
		Within:         src.Do,
	})
}
