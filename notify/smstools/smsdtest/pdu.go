package smsdtest

import (
	"encoding/hex"
	"errors"
	"strings"
)

// SMS is a message as the network sees it.
type SMS struct {
	To     string // digits
	Text   string
	DCS    byte // 0: GSM 7-bit, 0x10: the same as a flash message
	Report bool // a status report was asked for
	Parts  bool // it has a user data header: one part of several
}

var errShort = errors.New("PDU is too short")

var (
	gsmBasic = []rune("@£$¥èéùìòÇ\nØø\rÅåΔ_ΦΓΛΩΠΨΣΘΞ\x1bÆæßÉ !\"#¤%&'()*+,-./0123456789:;<=>?¡ABCDEFGHIJKLMNOPQRSTUVWXYZÄÖÑÜ§¿abcdefghijklmnopqrstuvwxyzäöñüà")
	gsmExt   = map[byte]rune{0x14: '^', 0x28: '{', 0x29: '}', 0x2f: '\\', 0x3c: '[', 0x3d: '~', 0x3e: ']', 0x40: '|', 0x65: '€'}
)

// decodeSubmit reads an SMS-SUBMIT with its leading service centre address
// (3GPP TS 23.040, 9.2.2.2).
func decodeSubmit(s string) (SMS, error) {
	b, err := hex.DecodeString(s)
	if err != nil {
		return SMS{}, err
	}
	at := 0
	take := func(n int) []byte {
		if err != nil || at+n > len(b) {
			err = errShort
			return make([]byte, n)
		}
		at += n
		return b[at-n : at]
	}
	take(int(take(1)[0])) // service centre
	first := take(1)[0]
	take(1) // message reference
	digits := int(take(1)[0])
	take(1) // type of address
	var sms SMS
	var to strings.Builder
	for _, o := range take((digits + 1) / 2) {
		to.WriteByte('0' + o&0xf)
		if to.Len() < digits {
			to.WriteByte('0' + o>>4)
		}
	}
	sms.To = to.String()
	take(1) // protocol
	sms.DCS = take(1)[0]
	switch first >> 3 & 3 {
	case 2:
		take(1)
	case 1, 3:
		take(7)
	}
	sms.Report = first&0x20 != 0
	sms.Parts = first&0x40 != 0
	length := int(take(1)[0])
	if err != nil {
		return SMS{}, err
	}
	switch sms.DCS & 0x0c {
	case 0:
		sms.Text = unpack(b[at:], length)
	case 8:
		var t strings.Builder
		for data := b[at:]; len(data) >= 2; data = data[2:] {
			t.WriteRune(rune(data[0])<<8 | rune(data[1]))
		}
		sms.Text = t.String()
	}
	return sms, nil
}

func unpack(data []byte, septets int) string {
	var t strings.Builder
	escaped := false
	for i := range septets {
		bit := i * 7
		if bit/8 >= len(data) {
			break
		}
		v := uint(data[bit/8])
		if bit/8+1 < len(data) {
			v |= uint(data[bit/8+1]) << 8
		}
		c := byte(v >> (bit % 8) & 0x7f)
		switch {
		case escaped:
			t.WriteRune(gsmExt[c])
			escaped = false
		case c == 0x1b:
			escaped = true
		default:
			t.WriteRune(gsmBasic[c])
		}
	}
	return t.String()
}
