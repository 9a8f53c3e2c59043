package migrations_test

import "testing"

func TestSpecialAddressesAreToldFromThoseThatSomebodyAnnounces(t *testing.T) {
	d := newDB(t)
	for address, want := range map[string]string{
		"8.8.8.8": "", "1.1.1.1": "", "9.255.255.255": "", "11.0.0.0": "", "100.63.255.255": "", "100.128.0.0": "", "126.0.0.1": "", "128.0.0.1": "",
		"172.15.255.255": "", "172.32.0.0": "", "192.167.0.1": "", "192.169.0.1": "", "192.0.1.1": "", "198.17.255.255": "", "198.20.0.0": "", "223.255.255.255": "",
		"2001:4860:4860::8888": "", "2a00:1450::1": "", "2003::1": "", "2001:200::1": "", "3ffe::1": "",

		"10.0.0.0": "private", "10.255.255.255": "private", "172.16.0.1": "private", "172.31.255.255": "private", "192.168.1.1": "private", "fd00::1": "private", "fc00::1": "private",
		"100.64.0.0": "shared", "100.127.255.255": "shared", "127.0.0.1": "loopback", "::1": "loopback", "169.254.1.1": "link-local", "fe80::1": "link-local",
		"224.0.0.1": "multicast", "239.255.255.255": "multicast", "ff02::1": "multicast",
		"192.0.2.1": "documentation", "198.51.100.7": "documentation", "203.0.113.255": "documentation", "2001:db8:1::1": "documentation", "3fff:fff::1": "documentation",
		"198.18.0.1": "benchmarking", "198.19.255.255": "benchmarking", "2001:2::1": "benchmarking",
		"192.88.99.1": "6to4", "2002:c000:204::1": "6to4", "2001::1": "Teredo", "64:ff9b::8.8.8.8": "NAT64", "64:ff9b:1::1": "NAT64",
		"0.0.0.0": "reserved", "0.1.2.3": "reserved", "192.0.0.8": "reserved", "240.0.0.1": "reserved", "255.255.255.255": "reserved",
		"::": "reserved", "::ffff:8.8.8.8": "reserved", "100::1": "reserved", "2001:10::1": "reserved", "5f00::1": "reserved", "4000::1": "reserved", "fec0::1": "reserved",
	} {
		if got := get[string](d, `SELECT coalesce(sonde_special_address($1::text::inet), '')`, address); got != want {
			t.Errorf("%s is %q, not %q", address, got, want)
		}
	}
	d.exec(`INSERT INTO asn (address) VALUES ('10.0.0.1'), ('8.8.8.8')`)
	if got := get[string](d, `SELECT string_agg(format('%s %s', host(address), coalesce(special, 'public')), ', ' ORDER BY address) FROM asn`); got != "8.8.8.8 public, 10.0.0.1 private" {
		t.Errorf("%q", got)
	}
}

func TestLongestPrefixOfTheTableWins(t *testing.T) {
	d := newDB(t)
	d.exec(`INSERT INTO asprefixes VALUES ('8.0.0.0/9', 3356), ('8.8.8.0/24', 15169), ('8.8.8.8/32', 1), ('2001:4860::/32', 15169), ('198.18.0.0/15', 64500)`)
	for address, want := range map[string]string{"8.8.8.8": "8.8.8.8/32 1", "8.8.8.9": "8.8.8.0/24 15169", "8.8.9.1": "8.0.0.0/9 3356", "8.128.0.0": "none",
		"2001:4860::1": "2001:4860::/32 15169", "2001:4861::1": "none", "198.19.0.1": "198.18.0.0/15 64500"} {
		if got := get[string](d, `SELECT coalesce((SELECT format('%s %s', prefix, asn) FROM sonde_asn($1::text::inet)), 'none')`, address); got != want {
			t.Errorf("%s is in %q, not %q", address, got, want)
		}
	}
}

func TestSettingsOfLookUpsTakeWhatIsRight(t *testing.T) {
	d := newDB(t)
	for _, value := range []string{"", "192.0.2.53", "192.0.2.53:5353", "2001:db8::53", "[2001:db8::53]:53", "[::1]:1", "::1"} {
		d.exec(`UPDATE settings SET value = $1 WHERE name = 'dns_server'`, value)
	}
	for _, value := range []string{"", "origin.example.net", "example.net.", "_as.x-y"} {
		d.exec(`UPDATE settings SET value = $1 WHERE name = 'as_zone'`, value)
	}
	d.exec(`UPDATE settings SET value = 'off' WHERE name = 'names_by_dns'`)
}
