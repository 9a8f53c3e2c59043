package spool

import (
	"bytes"
	"encoding/json"
	"fmt"
	"hash/crc32"
	"strconv"
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// headSize is what stands before the JSON: eight digits and a blank.
const headSize = 9

// appendLine adds a record as one line to buf.
func appendLine(buf []byte, record json.RawMessage) ([]byte, error) {
	var flat bytes.Buffer
	if err := json.Compact(&flat, record); err != nil { // also takes line breaks out
		return buf, fmt.Errorf("record is no JSON: %w", err)
	}
	if flat.Len() > maxRecord {
		return buf, fmt.Errorf("record of %d bytes: more than %d", flat.Len(), maxRecord)
	}
	buf = fmt.Appendf(buf, "%08x ", crc32.Checksum(flat.Bytes(), castagnoli))
	buf = append(buf, flat.Bytes()...)
	return append(buf, '\n'), nil
}

// parseLine gives the record of a line without its line break.
func parseLine(line []byte) (json.RawMessage, bool) {
	if len(line) <= headSize || line[headSize-1] != ' ' {
		return nil, false
	}
	sum, err := strconv.ParseUint(string(line[:headSize-1]), 16, 32)
	if err != nil || uint32(sum) != crc32.Checksum(line[headSize:], castagnoli) || !json.Valid(line[headSize:]) {
		return nil, false
	}
	return json.RawMessage(line[headSize:]), true
}

// Damage says what is wrong with a segment.
type Damage struct {
	Lines int   // bad lines
	First int64 // where the first one begins, in bytes
}

func (d *Damage) Error() string {
	return fmt.Sprintf("%d bad lines, the first at byte %d", d.Lines, d.First)
}

// parse gives the good records of a segment's bytes. Bad bytes after the last
// good line are a line that was never finished, and no damage, as long as they
// are one line at most.
func parse(raw []byte) ([]json.RawMessage, *Damage) {
	var records []json.RawMessage
	var damage Damage
	var pending int    // bad lines after the last good one
	var begin int64    // where the first of them begins
	settle := func() { // they are damage after all
		if pending > 0 && damage.Lines == 0 {
			damage.First = begin
		}
		damage.Lines += pending
		pending = 0
	}
	for at := int64(0); at < int64(len(raw)); {
		line, _, whole := bytes.Cut(raw[at:], []byte("\n"))
		record, good := parseLine(line)
		switch {
		case good && whole:
			settle()
			records = append(records, record)
		default:
			if pending == 0 {
				begin = at
			}
			pending++
		}
		at += int64(len(line)) + 1
	}
	if pending > 1 {
		settle()
	}
	if damage.Lines == 0 {
		return records, nil
	}
	return records, &damage
}
