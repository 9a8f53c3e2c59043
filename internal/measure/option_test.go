package measure

import (
	"encoding/json"
	"net/netip"
	"reflect"
	"strings"
	"testing"
	"time"
)

// every holds one option of every type.
var every = []Option{
	{Name: "count", Type: IntOption, Default: 10, Min: 1, Max: 100, Meaning: "packets of one run"},
	{Name: "ratio", Type: FloatOption, Min: 0.5, Meaning: "a ratio"},
	{Name: "least", Type: FloatOption, Max: 2, Meaning: "another"},
	{Name: "deep", Type: BoolOption, Default: false, Meaning: "whether"},
	{Name: "mode", Type: EnumOption, Default: "a", Values: []string{"a", "b"}, Meaning: "which"},
	{Name: "wait", Type: DurationOption, Default: "1s", Min: "10ms", Max: "1m", Meaning: "how long"},
	{Name: "source", Type: AddressOption, Meaning: "from where"},
	{Name: "words", Type: TextOption, Meaning: "what to say"},
	{Name: "user", Type: TextOption, Requires: []string{"password"}, Meaning: "who"},
	{Name: "password", Type: TextOption, Secret: true, Excludes: []string{"token"}, Meaning: "the secret"},
	{Name: "token", Type: TextOption, Secret: true, Meaning: "another secret"},
	{Name: "free", Type: IntOption, Meaning: "any number"},
}

func TestOptionsAreReadWithDefaultsInPlace(t *testing.T) {
	defaults := Options{"count": int64(10), "deep": false, "mode": "a", "wait": time.Second}
	for given, more := range map[string]Options{
		``:                                nil,
		`{}`:                              nil,
		` {"count": 3, "deep": true} `:    {"count": int64(3), "deep": true},
		`{"count": 1e1}`:                  {"count": int64(10)},
		`{"count": 1.0}`:                  {"count": int64(1)},
		`{"count": 100e-1}`:               {"count": int64(10)},
		`{"free": -9007199254740992}`:     {"free": int64(-1 << 53)},
		`{"free": 0.001e3}`:               {"free": int64(1)},
		`{"free": -12.50e2}`:              {"free": int64(-1250)},
		`{"free": 0e99}`:                  {"free": int64(0)},
		`{"ratio": 0.5, "least": 2}`:      {"ratio": 0.5, "least": 2.0},
		`{"mode": "b", "wait": "PT0.5S"}`: {"mode": "b", "wait": 500 * time.Millisecond},
		`{"source": "2001:db8::1"}`:       {"source": netip.MustParseAddr("2001:db8::1")},
		`{"words": ""}`:                   {"words": ""},
		`{"user": "u", "password": "env:SONDE_PASSWORD"}`: {"user": "u", "password": "env:SONDE_PASSWORD"},
		`{"token": "file:/etc/sonde/token"}`:              {"token": "file:/etc/sonde/token"},
		`{"count": 5, "count": 6}`:                        {"count": int64(6)}, // the last, as in jsonb
	} {
		want := Options{}
		for _, o := range []Options{defaults, more} {
			for k, v := range o {
				want[k] = v
			}
		}
		got, err := ReadOptions(every, json.RawMessage(given))
		if err != nil || !reflect.DeepEqual(got, want) {
			t.Errorf("%s is %v, %v; want %v", given, got, err, want)
		}
	}
}

func TestEveryWrongOptionHasItsSentence(t *testing.T) {
	for given, want := range map[string]string{
		`[1]`:                                  `options must be a JSON object like {"count": 10}, not [1]`,
		`null`:                                 `options must be a JSON object like {"count": 10}, not null`,
		`"count"`:                              `options must be a JSON object like {"count": 10}, not "count"`,
		`{"count": 1} {}`:                      `options must be one JSON object, not {"count": 1} {}`,
		`{"count": 1`:                          `options must be a JSON object like {"count": 10}, not {"count": 1`,
		`{"cuont": 3}`:                         `unknown option "cuont"; known options: count, deep, free, least, mode, password, ratio, source, token, user, wait, words`,
		`{"Count": 3}`:                         `unknown option "Count"; known options: count, deep, free, least, mode, password, ratio, source, token, user, wait, words`,
		`{"count": null}`:                      `option "count" is null: leave it out to get the default`,
		`{"count": "3"}`:                       `option "count" must be a whole number such as 10, not "3"`,
		`{"count": 3.5}`:                       `option "count" must be a whole number such as 10, not 3.5`,
		`{"count": 10.0000000000000000000001}`: `option "count" must be a whole number such as 10, not 10.0000000000000000000001`,
		`{"count": true}`:                      `option "count" must be a whole number such as 10, not true`,
		`{"count": [3]}`:                       `option "count" must be a whole number such as 10, not [3]`,
		`{"count": 0}`:                         `option "count" must be between 1 and 100, not 0`,
		`{"count": 101}`:                       `option "count" must be between 1 and 100, not 101`,
		`{"free": 1e400}`:                      `option "free" must be a whole number such as 10, not 1e400`,
		`{"free": 1e-400}`:                     `option "free" must be a whole number such as 10, not 1e-400`,
		`{"free": 9007199254740993.0}`:         `option "free" must be a whole number such as 10, not 9007199254740993.0`,
		`{"free": 1e18}`:                       `option "free" must be a whole number such as 10, not 1e18`,
		`{"ratio": "0.7"}`:                     `option "ratio" must be a number such as 0.5, not "0.7"`,
		`{"ratio": "NaN"}`:                     `option "ratio" must be a number such as 0.5, not "NaN"`,
		`{"ratio": 1e999}`:                     `option "ratio" must be a number such as 0.5, not 1e999`,
		`{"least": 1e-999}`:                    `option "least" must be a number such as 0.5, not 1e-999`,
		`{"ratio": 0.4}`:                       `option "ratio" must be at least 0.5, not 0.4`,
		`{"least": 2.1}`:                       `option "least" must be at most 2, not 2.1`,
		`{"deep": 1}`:                          `option "deep" must be true or false, not 1`,
		`{"deep": "true"}`:                     `option "deep" must be true or false, not "true"`,
		`{"mode": "c"}`:                        `option "mode" must be one of a, b, not "c"`,
		`{"mode": 1}`:                          `option "mode" must be one of a, b, not 1`,
		`{"wait": 5}`:                          `option "wait" must be a duration with a unit such as "1s", not 5`,
		`{"wait": "5"}`:                        `option "wait": duration "5" has no unit: write "5s" or "5ms"`,
		`{"wait": "1 month"}`:                  `option "wait": duration "1 month": "month" is no unit: use us, ms, s, m, h, d or w (months and years have no fixed length)`,
		`{"wait": "9ms"}`:                      `option "wait" must be between 10ms and 1m, not "9ms"`,
		`{"wait": "61s"}`:                      `option "wait" must be between 10ms and 1m, not "61s"`,
		`{"source": "localhost"}`:              `option "source" must be an IP address such as "192.0.2.1", not "localhost"`,
		`{"source": "10.0.0.0/8"}`:             `option "source" must be an IP address such as "192.0.2.1", not "10.0.0.0/8"`,
		`{"source": "10.0.0.010"}`:             `option "source" must be an IP address such as "192.0.2.1", not "10.0.0.010"`,
		`{"source": "fe80::1%eth0"}`:           `option "source" must be an IP address such as "192.0.2.1", not "fe80::1%eth0"`,
		`{"source": 1}`:                        `option "source" must be an IP address such as "192.0.2.1", not 1`,
		`{"words": 1}`:                         `option "words" must be a text, not 1`,
		`{"words": "a\u0000b"}`:                `option "words" must be a text, not "a\u0000b"`,
		`{"user": "u"}`:                        `option "user" needs option "password" as well`,
		`{"password": "env:A", "token": "env:B"}`: `options "password" and "token" exclude each other`,
		`{"token": "hunter2"}`:                    `option "token" is a secret: write a reference, "file:/path" or "env:NAME", not the secret itself`,
		`{"token": 4711}`:                         `option "token" must be a text, not ‹hidden›`,
	} {
		if _, err := ReadOptions(every, json.RawMessage(given)); err == nil || err.Error() != want {
			t.Errorf("%s\n got  %v\n want %s", given, err, want)
		}
	}
}

func TestRequiredOptionIsMissedByNameAndMeaning(t *testing.T) {
	known := []Option{{Name: "spool", Type: TextOption, Required: true, Meaning: "the spool directory of smsd"}}
	_, err := ReadOptions(known, nil)
	if err == nil || err.Error() != `option "spool" is missing: the spool directory of smsd` {
		t.Errorf("got %v", err)
	}
	_, err = ReadOptions(nil, json.RawMessage(`{"a": 1}`))
	if err == nil || err.Error() != `unknown option "a"; there are no options here` {
		t.Errorf("got %v", err)
	}
}

func TestWrongDefaultIsTheProgramsFaultAndSaysSo(t *testing.T) {
	_, err := ReadOptions([]Option{{Name: "wait", Type: DurationOption, Default: 5}}, nil)
	if err == nil || !strings.HasPrefix(err.Error(), `default of option "wait"`) {
		t.Errorf("got %v", err)
	}
}

func FuzzReadOptionsGivesOnlyWhatIsRight(f *testing.F) {
	for _, s := range []string{`{}`, `{"count": 1e1}`, `{"wait": "5m", "mode": "b"}`, `{"free": 1e-999999999}`, `{"free": 1e99999999999999999999}`, `{"source": "::1"}`, `[`, `{"token": "ÿ"}`, `{"count": 1}x`} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, raw []byte) {
		o, err := ReadOptions(every, raw)
		if err != nil {
			if len(err.Error()) > 600 {
				t.Fatalf("an error of %d bytes", len(err.Error()))
			}
			return
		}
		if n := o.Int("count"); n < 1 || n > 100 {
			t.Fatalf("count %d from %q", n, raw)
		}
		if d := o.Duration("wait"); d < 10*time.Millisecond || d > time.Minute {
			t.Fatalf("wait %v from %q", d, raw)
		}
		if m := o.Text("mode"); m != "a" && m != "b" {
			t.Fatalf("mode %q from %q", m, raw)
		}
	})
}
