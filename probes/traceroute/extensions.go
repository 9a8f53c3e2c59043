package traceroute

import (
	"encoding/binary"
	"strconv"
)

const (
	// quotedWhole is how much of a packet an error quotes, padded, when something
	// follows it and it does not say how much (RFC 4884, section 5.5).
	quotedWhole = 128

	extensionVersion = 2
	objectHeader     = 4
	classMPLS        = 1
	mostLabels       = 16 // of one answer; real stacks have a few
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
	for len(objects) >= objectHeader {
		size := int(binary.BigEndian.Uint16(objects))
		if size < objectHeader || size > len(objects) {
			break
		}
		if objects[2] == classMPLS && objects[3] == 1 {
			for entry := objects[objectHeader:size]; len(entry) >= 4 && n < mostLabels; entry = entry[4:] {
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
