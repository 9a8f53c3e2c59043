package smstools_test

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"sonde/notify"
	"sonde/notify/notifytest"
	"sonde/notify/smstools"
	"sonde/notify/smstools/smsdtest"
)

func medium(t *testing.T, s *smsdtest.Spool, more ...any) notify.Medium {
	t.Helper()
	m, err := smstools.Type().New(s.Options(more...), notify.Env{})
	if err != nil {
		t.Fatal(err)
	}
	return m
}

// Not beside other tests: it counts goroutines.
func TestRealSmsdKeepsTheMediumsPromises(t *testing.T) {
	s, mute := smsdtest.NewSpool(t), smsdtest.NewSpool(t)
	s.Start()
	notifytest.Examine(t, notifytest.Candidate{
		Type: smstools.Type(), To: "4915112345678", Works: s.Options(),
		Broken: []byte(`{"spool":"/nowhere/sms"}`), Mute: mute.Options(),
		BadTo: []string{"", "abc", "0151 123", "49\nFlash: yes", "4915112345678\n\nhello", "+49 151 1234567890123", "s", "-1"},
	})
}

func TestMessageReachesTheNetworkAsOneSevenBitSegment(t *testing.T) {
	t.Parallel()
	s := smsdtest.NewSpool(t)
	s.Start()
	all := "@£$¥èéùìòÇØøÅåΔ_ΦΓΛΩΠΨΣΘΞÆæßÉ!\"#%&'()*+,-./0123456789:;<=>?¡ABCDEFGHIJKLMNOPQRSTUVWXYZÄÖÑÜ§¿abcdefghijklmnopqrstuvwxyzäöñüà^{}\\[~]|€"
	for _, c := range []struct{ text, want string }{
		{all, all},
		{"узел «Zürich»: 3 µs – " + strings.Repeat("[x]", 60), ""},
		{"To: 491700000000\n\nDOWN cern", "To: 491700000000 DOWN cern"},
		{"Ё", "E"},
	} {
		msg := notifytest.Message("+49 151 1234-5678")
		msg.Short = c.text
		before := len(s.Modem.Sent())
		proof, err := medium(t, s, "flash", true, "report", true).Send(t.Context(), msg)
		if err != nil {
			t.Fatal(err)
		}
		sent := s.Modem.Sent()[before:]
		if len(sent) != 1 {
			t.Fatalf("%d messages for one", len(sent))
		}
		got := sent[0]
		want := c.want
		if want == "" {
			want = notify.FitGSM7(c.text)
		}
		if got.Text != want || got.DCS != 0x10 || got.To != "4915112345678" || !got.Report || got.Parts {
			t.Errorf("the network got %+v, want %q", got, want)
		}
		if proof.Reference != msg.Name || !strings.Contains(proof.Text, "GSM1") || !strings.Contains(proof.Text, "message reference") {
			t.Errorf("proof %+v", proof)
		}
	}
}

func TestRefusalOfTheNetworkIsFailedWithItsReason(t *testing.T) {
	t.Parallel()
	s := smsdtest.NewSpool(t)
	s.Modem = smsdtest.NewModem(t)
	s.Modem.Set(smsdtest.Refuses)
	s.Start()
	_, err := medium(t, s).Send(t.Context(), notifytest.Message("4915112345678"))
	if !errors.Is(err, notify.ErrFailed) || !strings.Contains(err.Error(), "Network out of order") {
		t.Errorf("%v, want ErrFailed with the reason of the modem", err)
	}
	if sent := s.Modem.Sent(); len(sent) != 0 {
		t.Errorf("and yet it was sent: %+v", sent)
	}
}

func TestDeadSmsdLeavesNothingThatFloodsOutLater(t *testing.T) {
	t.Parallel()
	s := smsdtest.NewSpool(t)
	var wg sync.WaitGroup
	for range 5 {
		wg.Go(func() {
			_, err := medium(t, s, "timeout", "1s").Send(t.Context(), notifytest.Message("4915112345678"))
			if !errors.Is(err, notify.ErrFailed) || !strings.Contains(err.Error(), "withdrawn") {
				t.Errorf("%v, want ErrFailed and withdrawn", err)
			}
		})
	}
	wg.Wait()
	for _, folder := range []string{"outgoing", "checked", "sent", "failed"} {
		if files := s.Files(folder); len(files) != 0 {
			t.Errorf("left in %s: %v", folder, files)
		}
	}
	s.Start()
	msg := notifytest.Message("4915112345678")
	if _, err := medium(t, s).Send(t.Context(), msg); err != nil {
		t.Fatal(err)
	}
	if n := s.Modem.Tried(); n != 1 {
		t.Errorf("smsd came back and sent %d messages, want the 1 that is new", n)
	}
}

// With a modem that does not answer at all smsd takes the file into checked, and
// locks it only to send; so it can be withdrawn from there.
func TestMessageInCheckedBehindABusyModemIsWithdrawn(t *testing.T) {
	t.Parallel()
	s := smsdtest.NewSpool(t)
	s.Start()
	s.Modem.Set(smsdtest.Slow)
	first := make(chan error, 1)
	taken := s.Modem.Next()
	go func() {
		_, err := medium(t, s).Send(t.Context(), notifytest.Message("4915112345678"))
		first <- err
	}()
	<-taken // the modem is now busy with the first
	second := notifytest.Message("4915112345678")
	_, err := medium(t, s, "timeout", "4s").Send(t.Context(), second)
	if !errors.Is(err, notify.ErrFailed) || !strings.Contains(err.Error(), "withdrawn") {
		t.Errorf("the second: %v, want ErrFailed and withdrawn", err)
	}
	s.Modem.Set(smsdtest.None)
	s.Modem.Release()
	if err := <-first; err != nil {
		t.Errorf("the first: %v", err)
	}
	third := notifytest.Message("4915112345678")
	if _, err := medium(t, s).Send(t.Context(), third); err != nil {
		t.Errorf("smsd does not work any more: %v", err)
	}
	if n := s.Modem.Tried(); n != 2 {
		t.Errorf("the modem was given %d messages, want 2", n)
	}
	if left := s.Files("checked"); len(left) != 0 {
		t.Errorf("left in checked: %v", left)
	}
}

func TestMessageOnTheAirAtTimeOutIsWaitedForAndThenUnknown(t *testing.T) {
	t.Parallel()
	s := smsdtest.NewSpool(t)
	s.Start()
	s.Modem.Set(smsdtest.Slow)
	taken := s.Modem.Next()
	msg := notifytest.Message("4915112345678")
	_, err := medium(t, s, "timeout", "2s", "grace", "1s").Send(t.Context(), msg)
	<-taken
	if !errors.Is(err, notify.ErrUnknown) {
		t.Fatalf("%v, want ErrUnknown", err)
	}
	s.Modem.Set(smsdtest.None)
	s.Modem.Release()
	proof, err := medium(t, s).Ask(t.Context(), msg)
	if err != nil {
		t.Errorf("asked again after the modem answered: %+v %v", proof, err)
	}
}

func TestSmsdKilledWhileSendingIsUnknownAndDoesNotSendAgain(t *testing.T) {
	t.Parallel()
	s := smsdtest.NewSpool(t)
	s.Start()
	s.Modem.Set(smsdtest.Forgets)
	taken := s.Modem.Next()
	result := make(chan error, 1)
	go func() {
		_, err := medium(t, s, "timeout", "5s").Send(t.Context(), notifytest.Message("4915112345678"))
		result <- err
	}()
	<-taken
	s.Kill()
	if err := <-result; !errors.Is(err, notify.ErrUnknown) {
		t.Errorf("%v, want ErrUnknown", err)
	}
	s.Modem.Set(smsdtest.None)
	s.Start()
	if _, err := medium(t, s).Send(t.Context(), notifytest.Message("4915112345678")); err != nil {
		t.Fatal(err)
	}
	if n := s.Modem.Tried(); n != 2 {
		t.Errorf("the modem was given %d messages, want 2: the one that was cut off and the new one", n)
	}
}

func TestRestartedNotifierFindsItsOwnFile(t *testing.T) {
	t.Parallel()
	s := smsdtest.NewSpool(t)
	msg := notifytest.Message("4915112345678")
	ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
	defer cancel()
	if _, err := medium(t, s).Send(ctx, msg); !errors.Is(err, notify.ErrUnknown) {
		t.Fatalf("the first notifier stopped with %v, want ErrUnknown", err)
	}
	if files := s.Files("outgoing"); len(files) != 1 || files[0] != msg.Name {
		t.Fatalf("outgoing holds %v, want the file of the first notifier", files)
	}
	if _, err := medium(t, s).Send(t.Context(), msg); !errors.Is(err, notify.ErrFailed) {
		t.Errorf("a second message of the same name: %v, want ErrFailed", err)
	}
	s.Start("filename_preview = 20")
	for n := range 2 { // on its way, and long sent
		proof, err := medium(t, s).Ask(t.Context(), msg)
		if err != nil || proof.Reference != msg.Name {
			t.Errorf("question %d: %+v, %v", n, proof, err)
		}
	}
	if n := s.Modem.Tried(); n != 1 {
		t.Errorf("%d messages, want 1", n)
	}
}

func TestOldFileOfADeadSmsdIsWithdrawnWhenAskedFor(t *testing.T) {
	t.Parallel()
	s := smsdtest.NewSpool(t)
	msg := notifytest.Message("4915112345678")
	path := filepath.Join(s.Dir, "checked", msg.Name)
	if err := os.WriteFile(path, []byte("To: 4915112345678\n\nDOWN\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	old := time.Now().Add(-3 * time.Hour)
	if err := os.Chtimes(path, old, old); err != nil {
		t.Fatal(err)
	}
	began := time.Now()
	_, err := medium(t, s).Ask(t.Context(), msg)
	if !errors.Is(err, notify.ErrFailed) || errors.Is(err, notify.ErrNotBegun) {
		t.Errorf("%v, want ErrFailed", err)
	}
	if took := time.Since(began); took > 5*time.Second {
		t.Errorf("waited %s for a file three hours old", took)
	}
	if left := s.Files("checked"); len(left) != 0 {
		t.Errorf("left: %v", left)
	}
}

func TestSmsdThatKeepsNoFileNamesIsUnknownWithAHint(t *testing.T) {
	t.Parallel()
	s := smsdtest.NewSpool(t)
	s.Start("keep_filename = no")
	_, err := medium(t, s).Send(t.Context(), notifytest.Message("4915112345678"))
	if !errors.Is(err, notify.ErrUnknown) || !strings.Contains(err.Error(), "keep_filename") {
		t.Errorf("%v, want ErrUnknown and what to set in smsd.conf", err)
	}
}

func TestMessageBehindAMuteModemIsWithdrawn(t *testing.T) {
	t.Parallel()
	s := smsdtest.NewSpool(t)
	s.Modem = smsdtest.NewModem(t)
	s.Modem.Set(smsdtest.Mute)
	s.Start()
	msg := notifytest.Message("4915112345678")
	_, err := medium(t, s, "timeout", "5s", "grace", "20s").Send(t.Context(), msg)
	if err == nil {
		t.Fatal("a modem that says nothing sent it")
	}
	for _, folder := range []string{"outgoing", "checked", "sent"} {
		if files := s.Files(folder); len(files) != 0 {
			t.Errorf("left in %s: %v (%v)", folder, files, err)
		}
	}
	s.Modem.Set(smsdtest.None)
	if _, err := medium(t, s).Send(t.Context(), notifytest.Message("4915112345678")); err != nil {
		t.Errorf("the modem answers again: %v", err)
	}
	if n := s.Modem.Tried(); n != 1 {
		t.Errorf("the modem was given %d messages, want the 1 of after it came back", n)
	}
}
