package traceroute

import (
	"encoding/binary"
	"regexp"
	"testing"
)

// labelled is a time exceeded that quotes a packet and carries objects behind it,
// with the length of the quotation where RFC 4884 wants it, or without.
func labelled(p packet, said bool, objects ...[]byte) []byte {
	v6 := p.to.Is6()
	kind, unit, field := byte(11), 4, 5
	if v6 {
		kind, unit, field = 3, 8, 4
	}
	b := quoteOf(p, kind, 0, 1<<16)
	b = append(b, make([]byte, max(0, transport+quotedWhole-len(b)))...)[:transport+quotedWhole]
	if said {
		b[field] = byte(quotedWhole / unit)
	}
	ext := []byte{extensionVersion << 4, 0, 0, 0}
	for _, o := range objects {
		ext = append(ext, o...)
	}
	binary.BigEndian.PutUint16(ext[2:], ^fold(add(0, ext)))
	return append(b, ext...)
}

func object(class, kind byte, body ...uint32) []byte {
	b := []byte{0, byte(objectHeader + 4*len(body)), class, kind}
	for _, word := range body {
		b = binary.BigEndian.AppendUint32(b, word)
	}
	return b
}

func TestLabelsOfARouterAreReadBehindWhatItQuotes(t *testing.T) {
	const outer, inner = 16004<<12 | 0<<9 | 0<<8 | 1, 24001<<12 | 5<<9 | 1<<8 | 254
	every(func(p packet) {
		for name, c := range map[string]struct {
			message []byte
			want    string
		}{
			"none":                  {labelled(p, true), ""},
			"a stack":               {labelled(p, true, object(1, 1, outer, inner)), "L=16004,E=0,S=0,T=1/L=24001,E=5,S=1,T=254"},
			"length not said":       {labelled(p, false, object(1, 1, inner)), "L=24001,E=5,S=1,T=254"},
			"behind another object": {labelled(p, true, object(2, 10, 1, 2), object(1, 1, inner)), "L=24001,E=5,S=1,T=254"},
			"object of length 0":    {labelled(p, true, []byte{0, 0, 1, 1}, object(1, 1, inner)), ""},
			"object past the end":   {labelled(p, true, []byte{9, 9, 1, 1}, object(1, 1, inner)), ""},
			"half an entry":         {labelled(p, true, []byte{0, 6, 1, 1, 1, 2}), ""},
		} {
			a, err := parse(p.to.Is6(), c.message)
			if err != nil || a.labels != c.want {
				t.Errorf("%s of %v: %q, %v; want %q", name, p.to, a.labels, err, c.want)
			}
			if !about(a, p) || a.mark != p.mark && p.flow.method != tcp {
				t.Errorf("%s: the packet is %+v, want %+v", name, a, p)
			}
		}
		whole := labelled(p, true, object(1, 1, outer))
		for at := len(whole) - 8; at < len(whole); at++ {
			broken := append([]byte(nil), whole...)
			broken[at] ^= 0x10
			if a, err := parse(p.to.Is6(), broken); err != nil || a.labels != "" {
				t.Errorf("byte %d changed: labels %q, %v, with a wrong checksum", at, a.labels, err)
			}
		}
		lying := append([]byte(nil), whole...)
		lying[4], lying[5] = 255, 255 // the quotation would end beyond the message
		if a, err := parse(p.to.Is6(), lying); err != nil || a.labels != "" {
			t.Errorf("a length that lies: %q, %v", a.labels, err)
		}
	})
	if got := len(regexp.MustCompile("L=").FindAllString(labelStack(object(1, 1, make([]uint32, 40)...)), -1)); got != mostLabels {
		t.Errorf("%d labels of 40 were written, want %d", got, mostLabels)
	}
}

func FuzzLabels(f *testing.F) {
	f.Add(object(1, 1, 1, 2, 3))
	f.Add(append(object(2, 1), object(1, 1, 7)...))
	right := regexp.MustCompile(`^(L=\d+,E=[0-7],S=[01],T=\d+(/|$))*$`)
	f.Fuzz(func(t *testing.T, b []byte) {
		if text := labelStack(b); !right.MatchString(text) {
			t.Errorf("%q", text)
		}
		for _, v6 := range []bool{false, true} {
			if len(b) >= transport {
				if quoted, objects := split(v6, b); len(quoted)+len(objects) > len(b) {
					t.Errorf("%d and %d bytes of %d", len(quoted), len(objects), len(b))
				}
			}
		}
	})
}
