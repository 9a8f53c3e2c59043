package notify

import (
	"strings"
	"unicode"

	"golang.org/x/net/idna"
	"golang.org/x/text/unicode/norm"
)

// SegmentSeptets is what one SMS of the GSM 7-bit alphabet holds (3GPP TS 23.038).
const SegmentSeptets = 160

// gsm7 holds the septets of each character of the default alphabet: 1, or 2 for
// those of its extension table. Any other character would turn the whole
// message to UCS-2 and leave 70 characters of the 160. The currency sign ¤ is
// left out: smsd makes a euro sign of it.
var gsm7 = func() map[rune]int {
	m := map[rune]int{}
	for _, r := range "@£$¥èéùìòÇØøÅåΔ_ΦΓΛΩΠΨΣΘΞÆæßÉ !\"#%&'()*+,-./0123456789:;<=>?" +
		"¡ABCDEFGHIJKLMNOPQRSTUVWXYZÄÖÑÜ§¿abcdefghijklmnopqrstuvwxyzäöñüà" {
		m[r] = 1
	}
	for _, r := range "^{}\\[~]|€" {
		m[r] = 2
	}
	return m
}()

// plain tells how characters outside the alphabet are written within it, as far
// as they are no letter of it with an accent.
var plain = func() map[rune]string {
	m := map[rune]string{}
	pairs := func(from, to string) {
		into := []rune(to)
		for i, r := range []rune(from) {
			m[r] = string(into[i])
		}
	}
	pairs("ĐđÐðĦħıŁłĿŀŦŧ", "DdDdHhiLlLlTt")
	pairs("‘’‚‛′`´“”„‟″«»‹›–—‐‑‒―−·•×÷°→←¦", "'''''''\"\"\"\"\"\"\"<>-------.*x/o><|")
	pairs("АБВГДЕЁЗИЙКЛМНОПРСТУФЫЭІЄҐЈЋ", "ABVGDEEZIJKLMNOPRSTUFYEIEGJC")
	pairs("абвгдеёзийклмнопрстуфыэієґјћ", "abvgdeezijklmnoprstufyeiegjc")
	pairs("ΑΒΕΖΗΙΚΜΝΟΡΤΥΧαβγδεζηικλμνοπρσςτυφχω", "ABEZHIKMNOPTYXabgdeziiklmnoprsstyfxo")
	for r, s := range map[rune]string{
		'Ж': "Zh", 'Х': "Kh", 'Ц': "Ts", 'Ч': "Ch", 'Ш': "Sh", 'Щ': "Shch", 'Ю': "Yu", 'Я': "Ya", 'Ъ': "", 'Ь': "",
		'ж': "zh", 'х': "kh", 'ц': "ts", 'ч': "ch", 'ш': "sh", 'щ': "shch", 'ю': "yu", 'я': "ya", 'ъ': "", 'ь': "",
		'Ђ': "Dj", 'Љ': "Lj", 'Њ': "Nj", 'Џ': "Dz", 'ђ': "dj", 'љ': "lj", 'њ': "nj", 'џ': "dz",
		'Œ': "OE", 'œ': "oe", 'ẞ': "SS", 'Þ': "Th", 'þ': "th", 'θ': "th", 'ξ': "x", 'ψ': "ps",
		'≤': "<=", '≥': ">=", '≠': "!=", '½': "1/2", '¼': "1/4", '¾': "3/4",
		'µ': "u", 'μ': "u", '©': "(c)", '®': "(R)", '±': "+-", '✓': "ok",
	} {
		m[r] = s
	}
	return m
}()

// spelled writes one character within the alphabet: as it is, by the table, or as
// the letters that are left of it without its accents (łódź is lodz, ﬁ is fi).
// Marks that stand alone and characters without width are nothing. Where it is
// false the alphabet has nothing like it.
func spelled(r rune) (string, bool) {
	if gsm7[r] > 0 {
		return string(r), true
	}
	if s, known := plain[r]; known {
		return s, true
	}
	var b strings.Builder
	for _, part := range norm.NFKD.String(string(r)) {
		switch s, known := plain[part]; {
		case gsm7[part] > 0:
			b.WriteRune(part)
		case known:
			b.WriteString(s)
		case unicode.In(part, unicode.Mn, unicode.Cf, unicode.Cc), unicode.IsSpace(part):
		default:
			return "", false
		}
	}
	return b.String(), true
}

// writable says that the alphabet, with what is like its letters, is enough for a text.
func writable(text string) bool {
	return !strings.ContainsFunc(text, func(r rune) bool { _, ok := spelled(r); return !ok })
}

// FitGSM7 makes of text one line that fits one SMS segment: characters of the
// GSM 7-bit alphabet only, others transliterated or coded, at most 160 septets. What is
// cut off is the end, marked by "...".
func FitGSM7(text string) string { return FitGSM7Tail(text, "") }

// FitGSM7Tail does so with a tail that is never cut, such as an alert's short
// id: the text before it gives way. The tail must be short.
func FitGSM7Tail(text, tail string) string {
	line, end := gsm7Line(text), gsm7Line(tail)
	if end != "" && line != "" {
		end = " " + end
	}
	room := SegmentSeptets - Septets(end)
	if room < 0 {
		return FitGSM7(tail)
	}
	if Septets(line) <= room {
		return line + end
	}
	const cut = "..."
	if room < len(cut) {
		return strings.TrimSpace(end)
	}
	room -= len(cut)
	used, at := 0, 0
	for i, r := range line {
		if used+gsm7[r] > room {
			break
		}
		used += gsm7[r]
		at = i + len(string(r))
	}
	return strings.TrimRight(line[:at], " ") + cut + end
}

// Septets counts what text takes of a segment; characters outside the alphabet
// count as the question mark that stands for them.
func Septets(text string) int {
	n := 0
	for _, r := range text {
		n += max(gsm7[r], 1)
	}
	return n
}

// gsm7Line writes text within the alphabet, on one line, with single spaces.
func gsm7Line(text string) string {
	// Accents that stand after their letter are put on it first: the alphabet has é.
	words := strings.FieldsFunc(norm.NFC.String(strings.ToValidUTF8(text, "?")), func(r rune) bool { return unicode.IsSpace(r) || unicode.IsControl(r) })
	written := words[:0]
	for _, word := range words {
		if word = gsm7Word(word); word != "" {
			written = append(written, word)
		}
	}
	return strings.Join(written, " ")
}

// gsm7Word writes a word. A name in it that the alphabet cannot write becomes
// what DNS makes of such a name (Punycode, RFC 3492): 東京-gw1 is
// xn---gw1-4x5f052k. Nobody reads that, but it is another one for each name, where
// question marks are the same for all, and any IDN tool turns it back.
//
// The message could go out as UCS-2 instead (smsd's "Alphabet: UCS"). That has 70
// characters, too few for node, finding, time, tool and id.
func gsm7Word(word string) string {
	var b strings.Builder
	var name []rune
	for _, r := range word {
		if ofName(r) {
			name = append(name, r)
			continue
		}
		b.WriteString(gsm7Name(name))
		name = name[:0]
		if s, ok := spelled(r); ok {
			b.WriteString(s)
		} else {
			b.WriteByte('?')
		}
	}
	b.WriteString(gsm7Name(name))
	return b.String()
}

// ofName says that a character is of a name and not beside it; with emoji, for
// people name nodes with them.
func ofName(r rune) bool {
	return r == '-' || r == '_' || unicode.In(r, unicode.L, unicode.M, unicode.N, unicode.So)
}

func gsm7Name(name []rune) string {
	if writable(string(name)) {
		var b strings.Builder
		for _, r := range name {
			s, _ := spelled(r)
			b.WriteString(s)
		}
		return b.String()
	}
	name = name[:min(len(name), SegmentSeptets)] // more has no room, and takes long
	coded, err := idna.Punycode.ToASCII(string(name))
	if err != nil { // it begins as if it were coded already
		return strings.Repeat("?", len(name))
	}
	return coded
}
