package ping

import (
	"testing"

	"sonde/internal/lab"
	"sonde/probes/probetest"
)

func TestPingPassesTheExamination(t *testing.T) {
	network := lab.New(t)
	src, router, dst, silent := network.Host("src"), network.Router("router"), network.Host("dst"), network.Host("silent")
	network.Connect(src, router)
	network.Connect(router, dst)
	network.Connect(router, silent)
	network.Route()
	silent.Silence()
	probetest.Examine(t, Tool(), probetest.Peer{
		Answering:      dst.V4().String(),
		Options:        `{"count": 3, "interval": "10ms"}`,
		Silent:         silent.V4().String(),
		SilentOptions:  `{"count": 2, "interval": "10ms", "timeout": "200ms"}`,
		PatientOptions: `{"count": 2, "interval": "10ms", "timeout": "1m"}`,
		Within:         src.Do,
	})
}
