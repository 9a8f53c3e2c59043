package embeddedpg

import (
	"context"
	"fmt"
	"os"
	"strconv"
	"testing"
)

func itoa(n int) string { return strconv.Itoa(n) }

func atoi(s string) int {
	n, _ := strconv.Atoi(s)
	return n
}

// TestMain lets the test binary be a parent that a test kills.
func TestMain(m *testing.M) {
	dir := os.Getenv("SONDE_TEST_EPHEMERAL")
	if dir == "" {
		os.Exit(m.Run())
	}
	s, err := Start(context.Background(), Options{Dir: dir, Ephemeral: true})
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	fmt.Println(s.Pid())
	<-s.Done()
}
