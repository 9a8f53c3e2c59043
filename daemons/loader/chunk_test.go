package loader

import (
	"encoding/json"
	"testing"
)

func TestNumbersGoToTheDatabaseAsTheyWereWritten(t *testing.T) {
	rows, refused := decode([]json.RawMessage{json.RawMessage(`{"table":"pingdata","row":{"toolspec_id":9007199254740993,"took_ms":0.30000000000000004}}`)})
	if len(rows) != 1 || len(refused) != 0 {
		t.Fatalf("%v %v", rows, refused)
	}
	if raw, err := json.Marshal(rows[0].Row); err != nil || string(raw) != `{"took_ms":0.30000000000000004,"toolspec_id":9007199254740993}` {
		t.Errorf("%s %v", raw, err)
	}
}

func FuzzRecordIsARowOrRefused(f *testing.F) {
	for _, s := range []string{`{"table":"pingdata","row":{"toolspec_id":1}}`, `{}`, `null`, `[1]`, `{"table":5,"row":[]}`, `{"table":"x","row":null}`, `"`, `{"table":"x","row":{"a":1e999}}`} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, raw []byte) {
		rows, refused := decode([]json.RawMessage{raw})
		if len(rows)+len(refused) != 1 {
			t.Fatalf("%d rows and %d refusals of one record", len(rows), len(refused))
		}
		for _, r := range rows {
			if r.Table == "" || r.Row == nil || string(r.raw) != string(raw) {
				t.Fatalf("%+v of %q", r, raw)
			}
			if _, err := json.Marshal(r.SpoolRow); err != nil {
				t.Fatalf("%q cannot be given to the database: %v", raw, err)
			}
		}
	})
}
