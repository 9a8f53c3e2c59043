package notify

import (
	"strings"
	"unicode"
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

// plain tells how characters outside the alphabet are written within it.
var plain = func() map[rune]string {
	m := map[rune]string{}
	pairs := func(from, to string) {
		into := []rune(to)
		for i, r := range []rune(from) {
			m[r] = string(into[i])
		}
	}
	pairs("ÀÁÂÃĀĂĄÇĆĈĊČĎĐÈÊËĒĔĖĘĚĜĞĠĢĤĦÌÍÎÏĨĪĬĮİĴĶĹĻĽĿŁŃŅŇÒÓÔÕŌŎŐŔŖŘŚŜŞŠȘŢŤŦȚÙÚÛŨŪŬŮŰŲŴÝŶŸŹŻŽ",
		"AAAAAAACCCCCDDEEEEEEEEGGGGHHIIIIIIIIIJKLLLLLNNNOOOOOOORRRSSSSSTTTTUUUUUUUUUWYYYZZZ")
	pairs("áâãāăąçćĉċčďđêëēĕėęěĝğġģĥħíîïĩīĭįıĵķĺļľŀłńņňóôõōŏőŕŗřśŝşšșţťŧțúûũūŭůűųŵýŷÿźżž",
		"aaaaaacccccddeeeeeeegggghhiiiiiiiijklllllnnnoooooorrrssssstttt"+"uuuuuuuuwyyyzzz")
	pairs("‘’‚‛′`´“”„‟″«»‹›–—‐‑‒―−…·•×÷°→←¦", "'''''''\"\"\"\"\"\"\"<>-------..*x/o><|")
	pairs("АБВГДЕЁЗИЙКЛМНОПРСТУФЫЭабвгдеёзийклмнопрстуфыэІЇЄіїєґҐ",
		"ABVGDEEZIJKLMNOPRSTUFYEabvgdeezijklmnoprstufyeIIEiieg"+"G")
	pairs("ΑΒΕΖΗΙΚΜΝΟΡΤΥΧαβγδεζηικλμνοπρσςτυφχωάέήίόύώ", "ABEZHIKMNOPTYXabgdeziiklmnoprsstyfxoaeiioyo")
	for r, s := range map[rune]string{
		'Ж': "Zh", 'Х': "Kh", 'Ц': "Ts", 'Ч': "Ch", 'Ш': "Sh", 'Щ': "Shch", 'Ю': "Yu", 'Я': "Ya", 'Ъ': "", 'Ь': "",
		'ж': "zh", 'х': "kh", 'ц': "ts", 'ч': "ch", 'ш': "sh", 'щ': "shch", 'ю': "yu", 'я': "ya", 'ъ': "", 'ь': "",
		'Œ': "OE", 'œ': "oe", 'Þ': "Th", 'þ': "th", 'Ð': "D", 'ð': "d", 'θ': "th", 'ξ': "x", 'ψ': "ps",
		'…': "...", '≤': "<=", '≥': ">=", '≠': "!=", '½': "1/2", '¼': "1/4", '¾': "3/4", '²': "2", '³': "3", '¹': "1",
		'µ': "u", 'μ': "u", '©': "(c)", '®': "(R)", '™': "TM", '±': "+-", '✓': "ok",
	} {
		m[r] = s
	}
	return m
}()

// FitGSM7 makes of text one line that fits one SMS segment: characters of the
// GSM 7-bit alphabet only, others transliterated, at most 160 septets. What is
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
	var b strings.Builder
	for _, word := range strings.FieldsFunc(text, func(r rune) bool {
		return unicode.IsSpace(r) || unicode.IsControl(r)
	}) {
		var w strings.Builder
		for _, r := range word {
			other, known := plain[r]
			switch {
			case gsm7[r] > 0:
				w.WriteRune(r)
			case known:
				w.WriteString(other)
			case unicode.Is(unicode.Mn, r), unicode.Is(unicode.Cf, r): // accents that stand alone, marks without width
			default:
				w.WriteByte('?')
			}
		}
		if w.Len() == 0 {
			continue
		}
		if b.Len() > 0 {
			b.WriteByte(' ')
		}
		b.WriteString(w.String())
	}
	return b.String()
}
