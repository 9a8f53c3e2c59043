package traceroute

import (
	"encoding/binary"
	"net/netip"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"
)

const (
	// quotedWhole is how much of a packet an error quotes, padded, when something
	// follows it and it does not say how much (RFC 4884, section 5.5).
	quotedWhole = 128

	extensionVersion = 2
	objectHeader     = 4
	classMPLS        = 1
	mostLabels       = 16 // of one answer; real stacks have a few
	mostText         = 400
	mostName         = 63 // RFC 5837, section 4.3
)

// split parts an ICMP error, from its type on, into the packet that it quotes and
// the objects that follow (RFC 4884). Those are nil when there are none, or when
// their length or checksum is wrong: what lies there may be anything then.
func split(v6 bool, b []byte) (quoted, objects []byte) {
	quoted = b[transport:]
	length := int(b[5]) * 4
	if v6 {
		length = int(b[4]) * 8
	}
	at := length
	if length == 0 {
		at = quotedWhole // routers older than the RFC
	}
	if at < quotedWhole || len(quoted) < at+4 {
		return quoted, nil
	}
	ext := quoted[at:]
	if ext[0]>>4 != extensionVersion {
		return quoted, nil
	}
	// No checksum at all is allowed.
	if sum := binary.BigEndian.Uint16(ext[2:]); sum != 0 && fold(add(0, ext)) != 0xffff {
		return quoted, nil
	}
	return quoted[:at], ext[4:]
}

// labelStack writes the MPLS labels of an error's objects (RFC 4950) as
// traceroute -e does: "L=16004,E=0,S=1,T=1", several with a slash between; empty
// if there are none.
func labelStack(objects []byte) string {
	var text []byte
	n := 0
	for len(objects) >= objectHeader && len(text) < mostText {
		size := int(binary.BigEndian.Uint16(objects))
		if size < objectHeader || size > len(objects) {
			break
		}
		if objects[2] == classMPLS && objects[3] == 1 {
			for entry := objects[objectHeader:size]; len(entry) >= 4 && n < mostLabels && len(text) < mostText; entry = entry[4:] {
				if n > 0 {
					text = append(text, '/')
				}
				n++
				v := binary.BigEndian.Uint32(entry)
				text = strconv.AppendUint(append(text, "L="...), uint64(v>>12), 10)
				text = strconv.AppendUint(append(text, ",E="...), uint64(v>>9&7), 10)
				text = strconv.AppendUint(append(text, ",S="...), uint64(v>>8&1), 10)
				text = strconv.AppendUint(append(text, ",T="...), uint64(v&0xff), 10)
			}
		}
		objects = objects[size:]
	}
	return string(text)
}

// The roles of an interface in its object (RFC 5837, section 4), and the parts
// that it can have, in the order of their bits.
var roles = []string{"in", "sub", "out", "next"}

const (
	classInterface = 2

	hasIndex   = 8
	hasAddress = 4
	hasName    = 2
	hasMTU     = 1

	mostInterfaces = 4 // one of each role
)

// interfaces writes what a router says of its interfaces (RFC 5837): "in index=7
// addr=192.0.2.1 name=xe-0/0/1 mtu=9000", several with a semicolon between; empty
// if it says nothing.
func interfaces(objects []byte) string {
	var text []byte
	n := 0
	for len(objects) >= objectHeader && n < mostInterfaces && len(text) < mostText {
		size := int(binary.BigEndian.Uint16(objects))
		if size < objectHeader || size > len(objects) {
			break
		}
		if objects[2] == classInterface {
			if one, ok := interfaceOf(objects[3], objects[objectHeader:size]); ok {
				if n > 0 {
					text = append(text, "; "...)
				}
				n++
				text = append(text, one...)
			}
		}
		objects = objects[size:]
	}
	return string(text)
}

// interfaceOf reads the parts of one object; ok is false when it is cut short.
func interfaceOf(kind byte, b []byte) (text string, ok bool) {
	text = roles[kind>>6]
	if kind&hasIndex != 0 {
		if len(b) < 4 {
			return "", false
		}
		text += " index=" + strconv.FormatUint(uint64(binary.BigEndian.Uint32(b)), 10)
		b = b[4:]
	}
	if kind&hasAddress != 0 {
		if len(b) < 4 {
			return "", false
		}
		size := map[uint16]int{1: 4, 2: 16}[binary.BigEndian.Uint16(b)] // address families of IANA
		if size == 0 || len(b) < 4+size {
			return "", false
		}
		a, _ := netip.AddrFromSlice(b[4 : 4+size])
		text += " addr=" + a.String()
		b = b[4+size:]
	}
	if kind&hasName != 0 {
		// The length counts itself and zeros that fill the last word.
		if len(b) < 1 || b[0] < 1 || int(b[0]) > len(b) {
			return "", false
		}
		text += " name=" + printable(b[1:min(int(b[0]), 1+mostName)])
		b = b[b[0]:]
	}
	if kind&hasMTU != 0 {
		if len(b) < 4 {
			return "", false
		}
		text += " mtu=" + strconv.FormatUint(uint64(binary.BigEndian.Uint32(b)), 10)
	}
	return text, true
}

// printable is a name as a router gives it, without what would break a line, a
// page or a text column.
func printable(b []byte) string {
	return strings.Map(func(r rune) rune {
		if r == 0 {
			return -1
		}
		if r == utf8.RuneError || !unicode.IsPrint(r) || r == ';' {
			return '?'
		}
		return r
	}, string(b))
}
