package smstools

import (
	"errors"
	"math/rand/v2"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"sonde/notify"
)

func TestNumbersAreWrittenAsSmsdWantsThem(t *testing.T) {
	for in, want := range map[string]string{
		"4915112345678": "4915112345678", "+49 151 12345678": "4915112345678", "0049 (151) 1234-5678": "4915112345678", "s1234": "s1234",
	} {
		if got, err := number(in); got != want || err != nil {
			t.Errorf("number(%q) = %q, %v", in, got, err)
		}
	}
	for in, want := range map[string]string{"0151 12345678": "country code", "anna": "no telephone number", "": "no telephone number", "49151\nFlash: yes": "no telephone number"} {
		if got, err := number(in); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("number(%q) = %q, %v, want a sentence with %q", in, got, err, want)
		}
	}
}

func TestFolderThatCannotBeWrittenIsSaidInWords(t *testing.T) {
	dir := t.TempDir()
	for _, d := range []string{"outgoing", "checked", "sent", "failed"} {
		if err := os.Mkdir(filepath.Join(dir, d), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	s := spool{"/sys/kernel", dir + "/checked", dir + "/sent", dir + "/failed"} // nobody may make files there
	if err := s.put("sonde-1", "x"); err == nil || !strings.Contains(err.Error(), "no permission to write in /sys/kernel") {
		t.Errorf("%v", err)
	}
	s.outgoing = filepath.Join(dir, "nowhere")
	if err := s.put("sonde-1", "x"); err == nil || !strings.Contains(err.Error(), "does smsd.conf name this folder") {
		t.Errorf("%v", err)
	}
	s.outgoing = filepath.Join(dir, "outgoing")
	if err := s.put("sonde-1", "x"); err != nil {
		t.Fatal(err)
	}
	if err := s.put("sonde-1", "y"); err == nil || !strings.Contains(err.Error(), "already") {
		t.Errorf("a second message of the same name: %v", err)
	}
}

func TestWrongOptionsAreRefused(t *testing.T) {
	for raw, want := range map[string]string{
		`{"spool":"sms"}`:                  "absolute path",
		`{"sent":"../sent"}`:               "absolute path",
		`{"provider":"a\nTo: 4915100000"}`: "provider",
		`{"timeout":60}`:                   "timeout",
		`{"timeout":"10ms"}`:               "timeout",
		`{"spoool":"/var/spool/sms"}`:      "spoool",
	} {
		if _, err := open([]byte(raw), notify.Env{}); !errors.Is(err, notify.ErrSpec) || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want ErrSpec and a sentence with %q", raw, err, want)
		}
	}
}

// What smsd and its handlers write into a file comes from outside.
func FuzzMessageFile(f *testing.F) {
	f.Add("To: 49\nModem: GSM1\nSent: 26-11-20 13:11:59\nMessage_id: 7\n\nDOWN cern")
	f.Add("To: 49\nFail_reason: +CMS ERROR: 38 (Network out of order)\n\n")
	f.Add("no header at all")
	f.Add(":\n:::\n\x00\xff: \x1b[31mred\n")
	f.Add("Fail_reason: " + strings.Repeat("€", 30000))
	f.Fuzz(func(t *testing.T, content string) {
		path := filepath.Join(t.TempDir(), "sonde-1")
		if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		for _, said := range []string{sentProof("sonde-1", path).Text, failReason(path)} {
			if said == "" || len(said) > 4000 || strings.ContainsAny(said, "\n\r\x00\x1b") {
				t.Fatalf("%q from %q", said, content)
			}
		}
	})
}

func FuzzNumber(f *testing.F) {
	f.Add("+49 151 12345678")
	f.Add("s12")
	f.Add("00")
	f.Fuzz(func(t *testing.T, address string) {
		n, err := number(address)
		if err == nil && strings.Trim(strings.TrimPrefix(n, "s"), "0123456789") != "" {
			t.Fatalf("%q becomes %q", address, n)
		}
	})
}

// What is refused when a ladder is written is what could not be sent, and no more.
func TestFormOfAddressesIsWhatNumberTakes(t *testing.T) {
	form, r := regexp.MustCompile(addressForm), rand.New(rand.NewPCG(1, 2))
	letters, right := []rune("+0123456789012345678901234567890s -/().\u00a0x"), 0
	for range 300000 {
		b := make([]rune, 1+r.IntN(18))
		for i := range b {
			b[i] = letters[r.IntN(len(letters))]
		}
		address := string(b)
		_, err := number(address)
		if fits := form.MatchString(address); fits != (err == nil) {
			t.Fatalf("%q: the form says %v, number says %v", address, fits, err)
		} else if fits {
			right++
		}
	}
	if right < 1000 {
		t.Errorf("only %d of them were right", right)
	}
}
