package lab

import (
	"strconv"
	"strings"
)

// nft has the nftables program carry out lines on the host. The table is made
// by the first of them.
func (h *Host) nft(lines ...string) {
	h.lab.t.Helper()
	cmd := h.Command("nft", "-f", "-")
	cmd.Stdin = strings.NewReader(`add table inet lab
add chain inet lab arriving { type filter hook prerouting priority -300 ; }
add chain inet lab leaving { type filter hook output priority 0 ; }
` + strings.Join(lines, "\n") + "\n")
	if out, err := cmd.CombinedOutput(); err != nil {
		h.lab.t.Fatalf("lab: %s: nft: %v\n%s\n%s", h.Name, err, out, strings.Join(lines, "\n"))
	}
}

// LoseEvery drops exactly every nth of the packets that come to the host (to
// stay or to be forwarded) and match: "icmp type echo-request", "udp dport
// 5001"; "" matches all.
func (h *Host) LoseEvery(n int, match string) {
	h.lab.t.Helper()
	h.nft("add rule inet lab arriving " + match + " numgen inc mod " + strconv.Itoa(n) + " == " + strconv.Itoa(n-1) + " counter drop")
}

// Drop drops all that comes to the host and matches.
func (h *Host) Drop(match string) {
	h.lab.t.Helper()
	h.nft("add rule inet lab arriving " + match + " counter drop")
}

// Forbid makes the host's own kernel refuse what it would send and matches:
// the sender gets EPERM.
func (h *Host) Forbid(match string) {
	h.lab.t.Helper()
	h.nft("add rule inet lab leaving " + match + " counter drop")
}

// Silence makes the host forward but never speak for itself: no ICMP errors,
// no echo replies. Neighbour discovery goes on.
func (h *Host) Silence() {
	h.lab.t.Helper()
	h.nft("add rule inet lab leaving icmp type { echo-reply, destination-unreachable, time-exceeded } counter drop",
		"add rule inet lab leaving icmpv6 type { echo-reply, destination-unreachable, packet-too-big, time-exceeded } counter drop")
}

// Heal takes back all that LoseEvery, Drop, Forbid and Silence did on the host.
func (h *Host) Heal() {
	h.lab.t.Helper()
	h.nft("flush table inet lab")
}
