package migrations_test

import (
	"testing"
)

// spec is an INSERT of a ping to cern with these columns besides.
func spec(columns, values string) string {
	return `INSERT INTO toolspecs (node, tool` + columns + `) VALUES ('cern', 'ping'` + values + `)`
}

func every(columns, values string) string {
	return spec(", run_interval"+columns, ", '1 minute'"+values)
}

func TestWrongSpecsAreRefusedWithASentence(t *testing.T) {
	d := newDB(t)
	for _, c := range []struct {
		sql, column string
		words       []string
	}{
		{`INSERT INTO toolspecs (node, tool, run_interval) VALUES ('cren', 'ping', '1 minute')`, "toolspecs.node", []string{`there is no node "cren"`, "insert it into nodes first", "cern, m1"}},
		{`INSERT INTO toolspecs (tool, run_interval) VALUES ('ping', '1 minute')`, "toolspecs.node", []string{"needs a node"}},
		{`INSERT INTO toolspecs (node, tool, run_interval) VALUES ('cern', 'pign', '1 minute')`, "toolspecs.tool", []string{`there is no tool "pign"`, "ping, traceroute"}},
		{`INSERT INTO toolspecs (node, run_interval) VALUES ('cern', '1 minute')`, "toolspecs.tool", []string{"needs a tool", "ping, traceroute"}},
		{every(", monhost", ", 'cern'"), "toolspecs.monhost", []string{`there is no monitoring host "cern"`, "m1"}},
		{every(", label", ", ' x'"), "toolspecs.label", []string{`" x"`, "no blanks"}},
		{every(", label", ", NULL"), "toolspecs.label", []string{"no good label"}},

		{every(", options", `, '{"cuont": 5}'`), "toolspecs.options", []string{`unknown option "cuont"`, "count", "tool_options"}},
		{every(", options", `, '{"count": "5"}'`), "toolspecs.options", []string{`option "count" must be a whole number such as 10, not "5"`}},
		{every(", options", `, '{"count": 5.5}'`), "toolspecs.options", []string{`whole number`, "5.5"}},
		{every(", options", `, '{"count": 0}'`), "toolspecs.options", []string{`option "count" must be between 1 and`, "not 0"}},
		{every(", options", `, '{"count": null}'`), "toolspecs.options", []string{`option "count" is null`, "leave it out"}},
		{every(", options", `, '{"interval": 5}'`), "toolspecs.options", []string{`option "interval" must be a duration with a unit`, "not 5"}},
		{every(", options", `, '{"interval": "1 month"}'`), "toolspecs.options", []string{`"1 month"`, "no fixed length"}},
		{every(", options", `, '{"family": 4}'`), "toolspecs.options", []string{`option "family" must be one of`, "auto", "not 4"}},
		{every(", options", `, '{"source": "cern"}'`), "toolspecs.options", []string{`option "source" must be an IP address`, `"cern"`}},
		{every(", options", `, '[]'`), "toolspecs.options", []string{"JSON object", "[]"}},
		{every(", options", `, 'null'`), "toolspecs.options", []string{"JSON object"}},
		{every(", options", `, NULL`), "toolspecs.options", []string{"JSON object", "NULL"}},
		{every(", options, time_to_run", `, '{"count": 100, "interval": "1s"}', '30 s'`), "toolspecs.time_to_run", []string{"does not fit into time_to_run 00:00:30", "takes 1"}},
		{every(", options", `, '{"count": 1000, "interval": "1s"}'`), "toolspecs.time_to_run", []string{"does not fit into time_to_run"}},

		{spec(", run_interval, run_at", ", '1 minute', '* * * * *'"), "toolspecs.run_at", []string{"both run_interval (00:01:00) and run_at (* * * * *)", "give one"}},
		{spec("", ""), "toolspecs.run_interval", []string{"neither run_interval nor run_at", "give one"}},
		{spec(", run_interval", ", '0'"), "toolspecs.run_interval", []string{"too short", "at least '1 second'"}},
		{spec(", run_interval", ", '-1 minute'"), "toolspecs.run_interval", []string{"-00:01:00", "too short"}},
		{spec(", run_interval", ", '1 month'"), "toolspecs.run_interval", []string{`"1 mon" has no fixed length`, "or use run_at"}},
		{spec(", run_interval", ", '500 ms'"), "toolspecs.run_interval", []string{"too short"}},
		{spec(", run_interval", ", '400 days'"), "toolspecs.run_interval", []string{"too long"}},
		{spec(", run_at", ", '0 0 30 2 *'"), "toolspecs.run_at", []string{"never", "0 0 30 2 *"}},
		{spec(", run_at", ", '0 0 * * 7'"), "toolspecs.run_at", []string{"7", "Sunday"}},
		{spec(", run_at", ", '0 0 * *'"), "toolspecs.run_at", []string{"five fields"}},
		{spec(", run_at", ", '@every 5m'"), "toolspecs.run_at", []string{"five fields"}},
		{spec(", run_at", ", 'CRON_TZ=UTC 0 0 * * *'"), "toolspecs.run_at", []string{"time_zone"}},
		{spec(", run_at, time_zone", ", '0 0 * * *', 'Europe/Berlim'"), "toolspecs.time_zone", []string{"Europe/Berlim", "Europe/Berlin"}},
		{spec(", run_at, time_zone", ", '0 0 * * *', NULL"), "toolspecs.time_zone", nil},
		{every(", sampling", ", 'poisson'"), "toolspecs.sampling", []string{`"poisson"`, "comes with a later version"}},
		{every(", sampling", ", 'random'"), "toolspecs.sampling", []string{`"random"`, "periodic"}},
		{every(", test_type", ", 'foreground'"), "toolspecs.test_type", []string{`"foreground"`, "background-syn"}},
		{every(", time_to_run", ", '2 days'"), "toolspecs.time_to_run", []string{"2 days", "one second and one day"}},
		{every(", time_to_run", ", '1 month'"), "toolspecs.time_to_run", []string{"1 mon"}},
		{every(", days_to_analyze", ", 0"), "toolspecs.days_to_analyze", []string{"0 is not between 1 and 36500"}},
		{every(", days_to_analyze", ", NULL"), "toolspecs.days_to_analyze", nil},
		{every(", enabled", ", NULL"), "toolspecs.enabled", []string{"true or false"}},
	} {
		d.refused(c.sql, c.column, c.words...)
	}
	d.exec(every("", ""))
	d.refused(every("", ""), "toolspecs.label", `is already ping to "cern" from "m1" with label ""`, "another label")
	d.exec(every(", label", ", 'second'"))
	d.refused(`UPDATE toolspecs SET label = '' WHERE label = 'second'`, "toolspecs.label", "already")
	d.refused(`UPDATE toolspecs SET options = '{"count": "x"}'`, "toolspecs.options", `"x"`)
	d.refused(`UPDATE nodes SET labels = array_fill('x'::text, ARRAY[101]) WHERE name = 'cern'`, "nodes.labels", "101 labels", "at most 100")
	d.refused(`UPDATE nodes SET labels = ARRAY[repeat('x', 101)] WHERE name = 'cern'`, "nodes.labels", "of 101 characters")
	d.refused(`UPDATE nodes SET site = repeat('x', 201) WHERE name = 'cern'`, "nodes.site", "201 characters", "at most 200")
	d.refused(`INSERT INTO comments (text) VALUES (repeat('x', 10001))`, "comments.text", "10001 characters", "at most 10000")
	if n := get[int](d, `SELECT count(*)::int FROM toolspecs`); n != 2 {
		t.Errorf("%d specs", n)
	}
	d.exec(`INSERT INTO nodes (name, address) VALUES ('m2', '127.0.0.2')`)
	d.exec(`INSERT INTO monhosts (name) VALUES ('m2')`)
	d.refused(every(", label", ", 'third'"), "toolspecs.monhost", "say which monitoring host", "m1, m2")
}

func TestSpecWithoutAnyMonitoringHostIsRefusedSayingHow(t *testing.T) {
	d := newDB(t)
	d.exec(`DELETE FROM monhosts`)
	d.refused(every("", ""), "toolspecs.monhost", "no monitoring host yet", "sonde up")
}

func TestOtherWrongRowsAreRefusedWithASentence(t *testing.T) {
	d := newDB(t)
	d.exec(`INSERT INTO mediums (name, type, options) VALUES ('sms', 'smstools', '{"spool":"/var/spool/sms"}')`)
	d.exec(`INSERT INTO ladders (recipient, step, medium, address) VALUES ('anna', 1, 'sms', '4915112345678')`)
	for _, c := range []struct {
		sql, column string
		words       []string
	}{
		{`INSERT INTO nodes (address) VALUES ('192.0.2.1')`, "nodes.name", []string{"needs a name"}},
		{`INSERT INTO nodes (name, address) VALUES (' x', '192.0.2.1')`, "nodes.name", []string{`" x"`}},
		{`INSERT INTO nodes (name) VALUES ('x')`, "nodes.address", []string{`node "x" needs an address`}},
		{`INSERT INTO nodes (name, address) VALUES ('x', 'https://www.cern.ch')`, "nodes.address", []string{"https://www.cern.ch", "without scheme"}},
		{`INSERT INTO nodes (name, address) VALUES ('x', '192.0.2.300')`, "nodes.address", []string{"192.0.2.300", "no IP address"}},
		{`INSERT INTO nodes (name, address) VALUES ('x', '192.0.2')`, "nodes.address", []string{"192.0.2", "no IP address"}},
		{`INSERT INTO nodes (name, address) VALUES ('x', '192.0.2.0/24')`, "nodes.address", []string{"netmask"}},
		{`INSERT INTO nodes (name, address) VALUES ('x', '$(reboot)')`, "nodes.address", []string{"neither"}},
		{`INSERT INTO nodes (name, address) VALUES ('x', '-f')`, "nodes.address", []string{"neither"}},
		{`INSERT INTO nodes (name, address, latitude) VALUES ('x', '192.0.2.1', 91)`, "nodes.latitude", []string{"91", "-90 and 90"}},
		{`INSERT INTO nodes (name, address, longitude) VALUES ('x', '192.0.2.1', -181)`, "nodes.longitude", []string{"-181"}},
		{`INSERT INTO nodes (name, address, parent) VALUES ('x', '192.0.2.1', 'gate')`, "nodes.parent", []string{`no node "gate"`, "cern, m1"}},
		{`INSERT INTO nodes (name, address, parent) VALUES ('x', '192.0.2.1', 'x')`, "nodes.parent", []string{"its own ancestor"}},
		{`INSERT INTO nodes (name, address, labels) VALUES ('x', '192.0.2.1', '{""}')`, "nodes.labels", []string{"not empty"}},
		{`INSERT INTO monhosts (name) VALUES ('nobody')`, "monhosts.name", []string{`no node "nobody"`}},

		{`UPDATE settings SET value = 'ten' WHERE name = 'keep_days_pingdata'`, "settings.value", []string{"keep_days_pingdata", "whole number", `"ten"`}},
		{`UPDATE settings SET value = '0' WHERE name = 'keep_days_pingdata'`, "settings.value", []string{"between 1 and 36500", "0"}},
		{`UPDATE settings SET value = '10' WHERE name = 'start_tolerance'`, "settings.value", []string{"duration", `"10"`}},
		{`UPDATE settings SET value = '2h' WHERE name = 'start_tolerance'`, "settings.value", []string{"between 1 and 3600 seconds", "2h"}},
		{`UPDATE settings SET value = 'Berlin' WHERE name = 'time_zone'`, "settings.value", []string{"Europe/Berlin", `"Berlin"`}},
		{`UPDATE settings SET value = '8:00' WHERE name = 'daily_message_at'`, "settings.value", []string{`"08:00"`, `"8:00"`}},
		{`UPDATE settings SET value = NULL WHERE name = 'time_zone'`, "settings.value", []string{"needs a value"}},
		{`UPDATE settings SET name = 'x' WHERE name = 'time_zone'`, "settings.name", []string{"keeps its name"}},
		{`UPDATE settings SET value = 'yes' WHERE name = 'names_by_dns'`, "settings.value", []string{`"on" or "off"`, `"yes"`}},
		{`UPDATE settings SET value = 'https://x' WHERE name = 'as_zone'`, "settings.value", []string{"as_zone", "domain", `"https://x"`}},
		{`UPDATE settings SET value = 'x..y' WHERE name = 'as_zone6'`, "settings.value", []string{`"x..y"`}},
		{`UPDATE settings SET value = 'ns.example' WHERE name = 'dns_server'`, "settings.value", []string{"192.0.2.53", `"ns.example"`}},
		{`UPDATE settings SET value = '192.0.2.300' WHERE name = 'dns_server'`, "settings.value", []string{`"192.0.2.300"`}},
		{`UPDATE settings SET value = '192.0.2.53:70000' WHERE name = 'dns_server'`, "settings.value", []string{`"192.0.2.53:70000"`}},
		{`UPDATE settings SET value = '192.0.2' WHERE name = 'dns_server'`, "settings.value", []string{`"192.0.2"`}},
		{`UPDATE settings SET value = '0' WHERE name = 'lookups_per_second'`, "settings.value", []string{"between 1 and 1000"}},
		{`DELETE FROM settings WHERE name = 'time_zone'`, "settings.name", []string{"cannot be deleted"}},

		{`INSERT INTO mediums (name, type) VALUES ('x', 'pigeon')`, "mediums.type", []string{`"pigeon"`, "smstools"}},
		{`INSERT INTO mediums (name, type, options) VALUES ('x', 'smstools', '{"spol": "/var/spool/sms"}')`, "mediums.options", []string{`unknown option "spol"`, "spool"}},
		{`INSERT INTO mediums (type) VALUES ('log')`, "mediums.name", []string{"needs a name"}},
		{`INSERT INTO ladders (recipient, step, medium, address) VALUES ('anna', 2, 'smss', '49')`, "ladders.medium", []string{`no medium "smss"`, "known mediums: sms"}},
		{`INSERT INTO ladders (recipient, step, medium, address) VALUES ('anna', 0, 'sms', '49')`, "ladders.step", []string{"0 is not between 1 and 100"}},
		{`INSERT INTO ladders (recipient, step, medium, address) VALUES ('', 1, 'sms', '49')`, "ladders.recipient", []string{"needs a recipient"}},
		{`INSERT INTO ladders (recipient, step, medium) VALUES ('anna', 2, 'sms')`, "ladders.address", nil},
		{`INSERT INTO recipients (name) VALUES ('')`, "recipients.name", []string{"anna"}},
		{`INSERT INTO recipients (name, time_zone) VALUES ('bert', 'Mars/Olympus')`, "recipients.time_zone", []string{"Mars/Olympus"}},
		{`INSERT INTO policies (recipient) VALUES ('ana')`, "policies.recipient", []string{`no recipient "ana"`, "anna"}},
		{`INSERT INTO policies (recipient, node) VALUES ('anna', 'x')`, "policies.node", []string{`no node "x"`}},
		{`INSERT INTO policies (recipient, severity) VALUES ('anna', 'bad')`, "policies.severity", []string{`"bad"`, "critical"}},

		{`INSERT INTO rules (name, method) VALUES ('a/b', 'plateau')`, "rules.name", []string{`"a/b" contains a "/"`, `write "-"`}},
		{`UPDATE rules SET name = 'a/b'`, "rules.name", []string{`"a/b" contains a "/"`}},
		{`INSERT INTO rules (name, method) VALUES ('many nodes', 'plateau')`, "rules.name", []string{`"many nodes"`, "another name"}},
		{`INSERT INTO rules (name, method) VALUES ('gap', 'plateau')`, "rules.name", []string{`"gap"`}},
		{`INSERT INTO rules (name, method) VALUES ('x', 'guess')`, "rules.method", []string{`"guess"`, "plateau"}},
		{`INSERT INTO rules (name, method, tool, metric, options) VALUES ('x', 'plateau', 'ping', 'rtt_median_ms', '{"historry": 1}')`, "rules.options", []string{`"historry"`}},
		{`INSERT INTO rules (name, method, tool, metric) VALUES ('x', 'plateau', 'ping', 'rtt')`, "rules.metric", []string{`no metric "rtt"`, "rtt_median_ms"}},
		{`INSERT INTO rules (name, method, second_look) VALUES ('x', 'no-data', true)`, "rules.second_look", []string{`"x"`, "no metric"}},
		{`INSERT INTO rules (name, method, tool) VALUES ('x', 'plateau', 'pign')`, "rules.tool", []string{`"pign"`}},
		{`INSERT INTO rules (name, method, node) VALUES ('x', 'plateau', 'nowhere')`, "rules.node", []string{`"nowhere"`}},
		{`INSERT INTO rules (name, method, severity) VALUES ('x', 'plateau', 'high')`, "rules.severity", []string{`"high"`}},
		{`INSERT INTO rules (name, method, tolerance) VALUES ('x', 'plateau', '-1 s')`, "rules.tolerance", []string{"-00:00:01"}},
		{`INSERT INTO rules (name, method, repeat_limit) VALUES ('x', 'plateau', '1 s')`, "rules.repeat_limit", []string{"too short"}},
		{`DELETE FROM rules WHERE shipped`, "rules.name", []string{"came with Sonde", "enabled = false"}},

		{`INSERT INTO maintenance (node, until_at) VALUES ('x', now() + interval '1 h')`, "maintenance.node", []string{`no node "x"`, "cern"}},
		{`INSERT INTO maintenance (node, until_at) VALUES ('cern', now() - interval '1 h')`, "maintenance.until_at", []string{"is not after from_at"}},
		{`INSERT INTO maintenance (node) VALUES ('cern')`, "maintenance.until_at", []string{"say when it ends"}},
		{`INSERT INTO maintenance (node, label, until_at) VALUES ('cern', 'core', now() + interval '1 h')`, "maintenance.label", []string{"both node (cern) and label (core)"}},
		{`INSERT INTO maintenance (label, until_at) VALUES ('', now() + interval '1 h')`, "maintenance.label", []string{"not empty"}},

		{`INSERT INTO schedule (toolspec_id) VALUES (4711)`, "schedule.toolspec_id", []string{"there is no spec 4711"}},
		{`INSERT INTO schedule DEFAULT VALUES`, "schedule.toolspec_id", []string{"say which spec"}},
		{`INSERT INTO comments (node, text) VALUES ('cern', ' ')`, "comments.text", []string{"needs words"}},
	} {
		d.refused(c.sql, c.column, c.words...)
	}
}

func TestRunAskedForByHandIsDueNow(t *testing.T) {
	d := newDB(t)
	d.exec(every("", ""))
	d.exec(`INSERT INTO schedule (toolspec_id) SELECT id FROM toolspecs`)
	if got := get[string](d, `SELECT format('%s %s %s %s %s', state, monhost, tool, attempt, start_by - due_at) FROM schedule WHERE due_at <= now()`); got != "due m1 ping 0 00:00:10" {
		t.Errorf("%q", got)
	}
	d.refused(`INSERT INTO schedule (toolspec_id, due_at) SELECT id, now() + interval '2 days' FROM toolspecs`, "schedule.due_at", "more than a day away")
	// Nor by filling every column: no data table has a place for such a run.
	for _, due := range []string{"infinity", "-infinity", "0044-03-15 BC", "1999-12-31"} {
		d.refused(`INSERT INTO schedule (toolspec_id, due_at, monhost, tool, start_by) SELECT id, '`+due+`', monhost, tool, '`+due+`' FROM toolspecs`, "schedule.due_at", "more than a day away")
	}
}
