package smsdtest

import (
	"errors"
	"fmt"
	"os"
	"strings"
	"sync"
	"testing"

	"golang.org/x/sys/unix"
)

// Fault is what the modem does wrong.
type Fault int

// The faults of a modem.
const (
	None    Fault = iota
	Mute          // answers nothing at all
	Refuses       // answers each message with +CMS ERROR: 38
	Forgets       // takes the message and never answers
	Slow          // takes the message and answers when Release is called
)

// Modem is an emulated GSM modem on a pseudo terminal.
type Modem struct {
	Device string // path of the terminal smsd opens

	mu      sync.Mutex
	fault   Fault
	sent    []SMS
	tried   int
	heard   []string
	wake    chan struct{} // closed and renewed at each message
	release chan struct{}
	master  *os.File
}

// NewModem starts a modem that ends with the test.
func NewModem(t testing.TB) *Modem {
	t.Helper()
	// Non-blocking, so that the runtime's poller serves it and Close wakes the reader.
	fd, err := unix.Open("/dev/ptmx", unix.O_RDWR|unix.O_NOCTTY|unix.O_CLOEXEC|unix.O_NONBLOCK, 0)
	if err != nil {
		t.Fatalf("open a pseudo terminal: %v", err)
	}
	master := os.NewFile(uintptr(fd), "/dev/ptmx")
	if err := unix.IoctlSetPointerInt(fd, unix.TIOCSPTLCK, 0); err != nil {
		t.Fatalf("unlock the pseudo terminal: %v", err)
	}
	n, err := unix.IoctlGetInt(fd, unix.TIOCGPTN)
	if err != nil {
		t.Fatalf("name of the pseudo terminal: %v", err)
	}
	m := &Modem{Device: fmt.Sprintf("/dev/pts/%d", n), wake: make(chan struct{}), release: make(chan struct{}), master: master}
	// Held open, because a master whose last slave is closed reads EIO. Raw, or
	// the terminal would echo our own answers back to us.
	slave, err := os.OpenFile(m.Device, os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		t.Fatalf("open %s: %v", m.Device, err)
	}
	if term, err := unix.IoctlGetTermios(int(slave.Fd()), unix.TCGETS); err == nil {
		term.Lflag, term.Iflag, term.Oflag = 0, 0, 0
		_ = unix.IoctlSetTermios(int(slave.Fd()), unix.TCSETS, term)
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		m.serve()
	}()
	t.Cleanup(func() {
		_ = master.Close()
		<-done
		_ = slave.Close()
	})
	return m
}

// Set changes what the modem does wrong from now on.
func (m *Modem) Set(f Fault) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.fault = f
}

// Release lets a Slow modem answer the message it took.
func (m *Modem) Release() {
	m.mu.Lock()
	defer m.mu.Unlock()
	close(m.release)
	m.release = make(chan struct{})
}

// Sent are the messages the network took, in order.
func (m *Modem) Sent() []SMS {
	m.mu.Lock()
	defer m.mu.Unlock()
	return append([]SMS(nil), m.sent...)
}

// Tried counts the messages given to the modem, taken or not.
func (m *Modem) Tried() int {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.tried
}

// Heard are the last commands, for the log of a test that failed.
func (m *Modem) Heard() []string {
	m.mu.Lock()
	defer m.mu.Unlock()
	return append([]string(nil), m.heard...)
}

// Next gives a channel that is closed when the next message was given to the modem.
func (m *Modem) Next() <-chan struct{} {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.wake
}

func (m *Modem) serve() {
	var line strings.Builder
	pdu := false
	buf := make([]byte, 512)
	for {
		n, err := m.master.Read(buf)
		for _, b := range buf[:max(n, 0)] {
			switch {
			case pdu && b == 0x1a:
				pdu = false
				m.takePDU(line.String())
				line.Reset()
			case pdu && b == 0x1b:
				pdu = false
				line.Reset()
				m.say("OK")
			case !pdu && b == '\r':
				command := strings.TrimSpace(line.String())
				line.Reset()
				if command != "" {
					pdu = m.command(command)
				}
			default:
				line.WriteByte(b)
			}
		}
		if errors.Is(err, unix.EIO) && n <= 0 {
			continue
		}
		if err != nil {
			return
		}
	}
}

// command answers an AT command; it reports whether a PDU follows.
func (m *Modem) command(c string) bool {
	m.mu.Lock()
	fault := m.fault
	m.heard = append(m.heard, c)
	if len(m.heard) > 40 {
		m.heard = m.heard[1:]
	}
	m.mu.Unlock()
	if fault == Mute {
		return false
	}
	switch up := strings.ToUpper(c); {
	case strings.HasPrefix(up, "AT+CMGS="):
		m.write("\r\n> ")
		return true
	case up == "AT+CPIN?":
		m.say("+CPIN: READY", "OK")
	case up == "AT+CREG?":
		m.say("+CREG: 0,1", "OK")
	case up == "AT+CSQ":
		m.say("+CSQ: 20,0", "OK")
	case up == "AT+CIMI":
		m.say("262019876543210", "OK")
	case up == "AT+CGSN":
		m.say("490154203237518", "OK")
	case strings.HasPrefix(up, "AT+CPMS"):
		m.say(`+CPMS: "SM",0,20,"SM",0,20`, "OK")
	default:
		m.say("OK")
	}
	return false
}

func (m *Modem) takePDU(hex string) {
	sms, err := decodeSubmit(strings.TrimSpace(hex))
	m.mu.Lock()
	fault, release := m.fault, m.release
	m.tried++
	if err == nil && fault != Refuses && fault != Mute {
		m.sent = append(m.sent, sms)
	}
	ref := m.tried
	close(m.wake)
	m.wake = make(chan struct{})
	m.mu.Unlock()
	switch {
	case fault == Mute, fault == Forgets:
	case fault == Refuses:
		m.say("+CMS ERROR: 38")
	case err != nil:
		m.say("+CMS ERROR: 304") // invalid PDU mode parameter
	case fault == Slow:
		<-release
		fallthrough
	default:
		m.say(fmt.Sprintf("+CMGS: %d", ref%256), "OK")
	}
}

func (m *Modem) say(lines ...string) {
	for _, l := range lines {
		m.write("\r\n" + l + "\r\n")
	}
}

func (m *Modem) write(s string) { _, _ = m.master.WriteString(s) }
