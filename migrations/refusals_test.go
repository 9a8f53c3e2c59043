package migrations_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5/pgconn"
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
	d.exec(every("", ""))
	d.exec(`INSERT INTO alerts (rule, severity, text, began_at, raised_at) VALUES ('loss', 'info', 'x', now(), now())`)
	d.exec(`INSERT INTO nodes (name, address) VALUES ('quiet', '192.0.2.9')`)
	d.exec(`INSERT INTO maintenance (node, until_at) VALUES ('quiet', now() + interval '1 h')`)
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
		{`INSERT INTO ladders (recipient, step, medium, address) VALUES ('anna', 2, 'sms', 'anna@example.org')`, "ladders.address", []string{`"anna@example.org" is no address on medium "sms", which is smstools`, "'4915112345678'"}},
		{`INSERT INTO ladders (recipient, step, medium, address) VALUES ('anna', 2, 'sms', '0151 12345678')`, "ladders.address", []string{"0151"}},
		{`INSERT INTO ladders (recipient, step, medium, address) VALUES ('', 1, 'sms', '49')`, "ladders.recipient", []string{"needs a recipient"}},
		{`INSERT INTO ladders (recipient, step, medium) VALUES ('anna', 2, 'sms')`, "ladders.address", nil},
		{`INSERT INTO recipients (name) VALUES ('')`, "recipients.name", []string{"anna"}},
		{`INSERT INTO recipients (name, time_zone) VALUES ('bert', 'Mars/Olympus')`, "recipients.time_zone", []string{"Mars/Olympus"}},
		{`INSERT INTO policies (recipient) VALUES ('ana')`, "policies.recipient", []string{`no recipient "ana"`, "anna"}},
		{`INSERT INTO policies (recipient, node) VALUES ('anna', 'x')`, "policies.node", []string{`no node "x"`}},
		{`INSERT INTO policies (recipient, severity) VALUES ('anna', 'bad')`, "policies.severity", []string{`"bad"`, "critical"}},

		{`INSERT INTO rules (name, method) VALUES ('a/b', 'plateau')`, "rules.name", []string{`"a/b" contains a "/"`, `write "-"`}},
		{`UPDATE rules SET name = 'a/b'`, "rules.name", []string{"came with Sonde", "enabled = false"}},
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
		{`INSERT INTO rules (name, method) VALUES ('', 'no-data')`, "rules.name", []string{"needs a name"}},
		{`INSERT INTO rules (method) VALUES ('no-data')`, "rules.name", []string{"needs a name"}},
		{`INSERT INTO rules (name, method) VALUES (E'x\ny', 'no-data')`, "rules.name", []string{"no good name"}},
		{`INSERT INTO rules (name, method) VALUES ('x', 'limit')`, "rules.metric", []string{`method "limit" judges a number`, "loss_pct of ping"}},
		{`INSERT INTO rules (name, method, tool) VALUES ('x', 'anomaly', 'traceroute')`, "rules.metric", []string{"judges a number", "hop_count of traceroute"}},
		{`INSERT INTO rules (name, method, metric) VALUES ('x', 'limit', 'loss_pct')`, "rules.tool", []string{`say whose metric "loss_pct" is`, "ping"}},
		{`INSERT INTO rules (name, method, tool, metric) VALUES ('x', 'no-data', 'ping', 'loss_pct')`, "rules.metric", []string{"at no metric", "leave metric out"}},
		{`INSERT INTO rules (name, method, label) VALUES ('x', 'no-data', '')`, "rules.label", []string{"not empty"}},
		{`INSERT INTO rules (name, method, enabled) VALUES ('x', 'no-data', NULL)`, "rules.enabled", []string{"NULL is no value", "to have true"}},
		{`INSERT INTO rules (name, method, repeat_limit) VALUES ('x', 'no-data', '1 month')`, "rules.repeat_limit", []string{"1 mon"}},
		{`INSERT INTO rules (name, method, repeat_limit) VALUES ('x', 'no-data', '290000 years')`, "rules.repeat_limit", nil},
		{`INSERT INTO rules (name, method, tolerance) VALUES ('x', 'no-data', '2000000 days')`, "rules.tolerance", []string{"2000000 days", "at most"}},
		{`UPDATE rules SET shipped = false WHERE name = 'loss'`, "rules.shipped", []string{"came with Sonde"}},
		{`DELETE FROM rules WHERE shipped`, "rules.name", []string{"came with Sonde", "enabled = false"}},

		{`INSERT INTO maintenance (node, until_at) VALUES ('x', now() + interval '1 h')`, "maintenance.node", []string{`no node "x"`, "cern"}},
		{`INSERT INTO maintenance (node, until_at) VALUES ('cern', now() - interval '1 h')`, "maintenance.until_at", []string{"is not after from_at"}},
		{`INSERT INTO maintenance (node) VALUES ('cern')`, "maintenance.until_at", []string{"say when it ends"}},
		{`INSERT INTO maintenance (node, label, until_at) VALUES ('cern', 'core', now() + interval '1 h')`, "maintenance.label", []string{"both node (cern) and label (core)"}},
		{`INSERT INTO maintenance (label, until_at) VALUES ('', now() + interval '1 h')`, "maintenance.label", []string{"not empty"}},
		{`INSERT INTO maintenance (until_at) VALUES ('infinity')`, "maintenance.until_at", []string{`"infinity"`, "years 2000 and 2200"}},
		{`INSERT INTO maintenance (from_at, until_at) VALUES ('-infinity', now() + interval '1 h')`, "maintenance.from_at", []string{`"-infinity"`, "leave it out"}},
		{`INSERT INTO maintenance (from_at, until_at) VALUES ('4713-01-01 BC', now() + interval '1 h')`, "maintenance.from_at", []string{"BC"}},
		{`INSERT INTO maintenance (until_at) VALUES ('20000-01-01')`, "maintenance.until_at", []string{"20000"}},
		{`INSERT INTO maintenance (node, until_at, text) VALUES ('cern', now() + interval '1 h', NULL)`, "maintenance.text", []string{"NULL is no value"}},
		{`UPDATE alerts SET silent_until = 'infinity'`, "alerts.silent_until", []string{`"infinity"`, "acked_at"}},
		{`UPDATE alerts SET acked_at = '-infinity'`, "alerts.acked_at", []string{`"-infinity"`}},

		{`INSERT INTO schedule (toolspec_id) VALUES (4711)`, "schedule.toolspec_id", []string{"there is no spec 4711"}},
		{`INSERT INTO schedule DEFAULT VALUES`, "schedule.toolspec_id", []string{"say which spec"}},
		{`INSERT INTO comments (node, text) VALUES ('cern', ' ')`, "comments.text", []string{"needs words"}},
		{`INSERT INTO comments (node, text) VALUES ('cren', 'x')`, "comments.node", []string{`no node "cren"`, "cern"}},
		{`INSERT INTO comments (alert_id, text) VALUES (99, 'x')`, "comments.alert_id", []string{"no alert 99"}},
		{`INSERT INTO comments (toolspec_id, text) VALUES (99, 'x')`, "comments.toolspec_id", []string{"no spec 99"}},
		{`INSERT INTO comments (at, text) VALUES ('infinity', 'x')`, "comments.at", []string{`"infinity"`}},

		{`INSERT INTO settings (name, value) VALUES ('keep_days', '3')`, "settings.name", []string{`no setting "keep_days"`, "keep_days_pingdata"}},
		{`INSERT INTO nodes (name, address, site) VALUES ('x', '192.0.2.1', NULL)`, "nodes.site", []string{"NULL is no value"}},
		{`UPDATE nodes SET enabled = NULL`, "nodes.enabled", []string{"NULL is no value", "to have true"}},
		{`INSERT INTO nodes (name, address) VALUES (U&'a\202Eb', '192.0.2.1')`, "nodes.name", []string{"no good name"}},
		{`INSERT INTO nodes (name, address) VALUES (U&'a\2028b', '192.0.2.1')`, "nodes.name", []string{"no good name"}},
		{`INSERT INTO nodes (name, address, labels) VALUES ('x', '192.0.2.1', ARRAY[E'a\nb'])`, "nodes.labels", []string{"control characters"}},
		{`INSERT INTO nodes (name, address, site) VALUES ('x', '192.0.2.1', E'a\nb')`, "nodes.site", []string{"control characters"}},
		{`INSERT INTO monhosts (name) VALUES (NULL)`, "monhosts.name", []string{"needs the name of its node"}},
		{`INSERT INTO policies (recipient, label) VALUES ('anna', '')`, "policies.label", []string{"not empty"}},
		{`INSERT INTO mediums (name, type, enabled) VALUES ('x', 'log', NULL)`, "mediums.enabled", []string{"NULL is no value"}},
		{`INSERT INTO ladders (recipient, step, medium, address, visible) VALUES ('anna', 2, 'sms', '+49 151 / 123-45 (67)', NULL)`, "ladders.visible", []string{"NULL is no value"}},
		{`INSERT INTO recipients (name, daily) VALUES ('carl', NULL)`, "recipients.daily", []string{"NULL is no value"}},

		{`DELETE FROM mediums WHERE name = 'sms'`, "mediums.name", []string{"on the ladder of anna", "enabled = false"}},
		{`DELETE FROM recipients WHERE name = 'anna'`, "recipients.name", []string{"has a ladder", "enabled = false"}},
		{`DELETE FROM monhosts WHERE name = 'm1'`, "monhosts.name", []string{"used by spec 1", "stop sonde there"}},
		{`DELETE FROM nodes WHERE name = 'quiet'`, "nodes.name", []string{"used by maintenance 1"}},
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

// The name of a unique constraint is all that its message says. A trigger could
// say more, but it would refuse INSERT … ON CONFLICT as well.
func TestATakenNameIsRefusedByASentenceAndOnConflictWorks(t *testing.T) {
	d := newDB(t)
	d.exec(`INSERT INTO mediums (name, type) VALUES ('log', 'log')`)
	d.exec(`INSERT INTO ladders (recipient, step, medium, address) VALUES ('anna', 1, 'log', 'x')`)
	d.exec(every("", ""))
	d.exec(`INSERT INTO schedule (toolspec_id, due_at) VALUES (1, date_trunc('hour', now()))`)
	for _, c := range []struct{ sql, key, words string }{
		{`INSERT INTO nodes (name, address) VALUES ('cern', '192.0.2.1')`, "(name)", "nodes.name is taken: UPDATE that node"},
		{`INSERT INTO monhosts (name) VALUES ('m1')`, "(name)", "monhosts.name is taken"},
		{`INSERT INTO mediums (name, type) VALUES ('log', 'log')`, "(name)", "mediums.name is taken: UPDATE that medium"},
		{`INSERT INTO recipients (name) VALUES ('anna')`, "(name)", "recipients.name is taken: UPDATE that row"},
		{`INSERT INTO ladders (recipient, step, medium, address) VALUES ('anna', 1, 'log', 'y')`, "(recipient, step)", "ladders.step is taken: UPDATE that step"},
		{`INSERT INTO rules (name, method) VALUES ('no data', 'no-data')`, "(name)", "rules.name is taken: UPDATE that rule"},
		{`INSERT INTO schedule (toolspec_id, due_at) VALUES (1, date_trunc('hour', now()))`, "(monhost, tool, due_at, toolspec_id)", "schedule.due_at is taken: this run is planned already"},
	} {
		var pg *pgconn.PgError
		if _, err := d.Exec(d.Context(), c.sql); !errors.As(err, &pg) || !strings.Contains(pg.Message, c.words) {
			t.Errorf("%s\nwas answered by %v, want %q", c.sql, err, c.words)
		}
		d.exec(c.sql + ` ON CONFLICT ` + c.key + ` DO NOTHING`)
	}
}

func TestConfigurationIsNotTruncated(t *testing.T) {
	d := newDB(t)
	for _, table := range []string{"nodes", "monhosts", "toolspecs", "rules", "settings"} {
		if _, err := d.Exec(d.Context(), `TRUNCATE `+table+` CASCADE`); err == nil || !strings.Contains(err.Error(), "is not truncated") {
			t.Errorf("TRUNCATE %s: %v", table, err)
		}
	}
}

// A run that is under way brings a result of the node it was claimed for.
func TestSpecWhoseRunIsUnderWayIsNotMoved(t *testing.T) {
	d := newDB(t)
	d.exec(every("", ""))
	d.exec(`INSERT INTO schedule (toolspec_id) VALUES (1)`)
	d.exec(`UPDATE schedule SET state = 'claimed', attempt = 1`)
	d.refused(`UPDATE toolspecs SET node = 'm1'`, "toolspecs.node", "a run of spec 1 is under way", "ping to cern from m1")
	d.refused(`UPDATE toolspecs SET tool = 'traceroute'`, "toolspecs.tool", "under way")
	d.exec(`UPDATE toolspecs SET run_interval = '2 minutes'`)
}
