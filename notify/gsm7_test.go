package notify_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"sonde/notify"
)

func TestTextIsTransliteratedToGSM7(t *testing.T) {
	for in, want := range map[string]string{
		"DOWN cern: no answer":            "DOWN cern: no answer",
		"Zürich – Genève «lent»":          "Zürich - Genève \"lent\"",
		"łódź, Škoda, São":                "lodz, Skoda, Sao",
		"узел Щукино не отвечает":         "uzel Shchukino ne otvechaet",
		"Δt ≥ 5 ms … 3 µs":                "Δt >= 5 ms ... 3 us",
		"line one\r\n\r\nline\ttwo  end ": "line one line two end",
		"Łódź, Đà Nẵng, ﬁ, ＧＷ":            "Lodz, Dà Nang, fi, GW",
		"Αθήνα, Ηράκλειο, Љубљана, Ўзда":  "Athina, Hrakleio, Ljubljana, Uzda",
		"漢字 ok":                       "xn--p8s937b ok",
		"(東京-gw1, 大阪-gw1): no answer": "(xn---gw1-4x5f052k, xn---gw1-fw6gy732a): no answer",
		"เชียงใหม่.example.th":        "xn--72cf4ec0c3c1d2a1c.example.th",
		"🦊":                           "xn--9s9h",
		"≈ 5 「x」":                     "? 5 ?x?",
		"xn--東京":                      "??????",
		"\xff\xfe":                    "?",
		"a\x00b\x1bc":                 "a b c",
		"e\u0301tat":                  "état",
		"":                            "",
	} {
		if got := notify.FitGSM7(in); got != want {
			t.Errorf("FitGSM7(%q) = %q, want %q", in, got, want)
		}
	}
}

func TestLongTextKeepsItsBeginningAndItsShortID(t *testing.T) {
	long := "DOWN cern: " + strings.Repeat("no answer ", 40)
	got := notify.FitGSM7Tail(long, "[a4711]")
	if !strings.HasPrefix(got, "DOWN cern: no answer") || !strings.HasSuffix(got, "... [a4711]") {
		t.Errorf("the beginning or the id was lost: %q", got)
	}
	if n := notify.Septets(got); n > 160 || n < 150 {
		t.Errorf("%d septets, want nearly 160: %q", n, got)
	}
}

func TestCharactersOfTheExtensionTableCountTwice(t *testing.T) {
	if got := notify.FitGSM7(strings.Repeat("€", 80)); got != strings.Repeat("€", 80) {
		t.Errorf("80 euro signs are 160 septets and fit, got %q", got)
	}
	got := notify.FitGSM7(strings.Repeat("€", 81))
	if notify.Septets(got) > 160 || !strings.HasSuffix(got, "...") {
		t.Errorf("81 euro signs do not fit, got %q", got)
	}
}

func FuzzFitGSM7(f *testing.F) {
	f.Add("DOWN cern: no answer", "[a1]")
	f.Add(strings.Repeat("[{€}]", 60), "[a4711]")
	f.Add("\xff\xfe broken utf-8", "")
	f.Add("東京-gw1 เชียงใหม่ 서울", "[a1]")
	f.Add(strings.Repeat("щ", 159), strings.Repeat("x", 200))
	f.Fuzz(func(t *testing.T, text, tail string) {
		got := notify.FitGSM7Tail(text, tail)
		if n := notify.Septets(got); n > notify.SegmentSeptets {
			t.Fatalf("%d septets: %q", n, got)
		}
		if strings.ContainsAny(got, "\r\n\x00") {
			t.Fatalf("control characters: %q", got)
		}
		if again := notify.FitGSM7(got); again != got {
			t.Fatalf("fitting twice changes it: %q, then %q", got, again)
		}
	})
}

func TestSecretIsReadFromAFileOrTheEnvironment(t *testing.T) {
	file := filepath.Join(t.TempDir(), "pw")
	if err := os.WriteFile(file, []byte("hush\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	t.Setenv("SONDE_TEST_SECRET", "hush")
	for _, ref := range []string{"file:" + file, "env:SONDE_TEST_SECRET"} {
		if got, err := notify.Secret(ref); got != "hush" || err != nil {
			t.Errorf("Secret(%s) = %q, %v", ref, got, err)
		}
	}
}

func TestMissingSecretIsNamedAndASecretIsNeverPrinted(t *testing.T) {
	for ref, want := range map[string]string{
		"file:/nowhere/pw":     "/nowhere/pw",
		"env:SONDE_NO_SUCH_EV": "SONDE_NO_SUCH_EV",
		"my password":          "reference",
	} {
		_, err := notify.Secret(ref)
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("Secret(%s): %v, want a sentence with %s", ref, err, want)
		}
		if err != nil && strings.Contains(err.Error(), "my password") {
			t.Errorf("the secret itself is in the error: %v", err)
		}
	}
}
