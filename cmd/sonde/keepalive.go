package main

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"time"

	"sonde/config"
	"sonde/keepalive"
)

func runKeepalive(ctx context.Context, args []string) error {
	c, err := hostConfig("keepalive", args)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	did, err := keepalive.Pass(ctx, c.State, c.LogDir, func() error { return startSupervisor(c) })
	if err != nil {
		return err
	}
	fmt.Println(did)
	return nil
}

// startSupervisor starts `sonde supervise` as a process that outlives us and
// our terminal.
func startSupervisor(c config.Config) error {
	self, err := os.Executable()
	if err != nil {
		return err
	}
	if err := os.MkdirAll(c.LogDir, 0o755); err != nil {
		return err
	}
	log, err := os.OpenFile(filepath.Join(c.LogDir, keepalive.SupervisorName+".log"), os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o640)
	if err != nil {
		return err
	}
	defer log.Close()
	cmd := exec.Command(self, "supervise")
	// What flags and files say now is what it runs with; see config.Environ.
	cmd.Env = append(os.Environ(), append(c.Environ(), "SONDE_CONFIG="+os.DevNull, "GOTRACEBACK=all")...)
	cmd.Dir = "/"
	cmd.Stdout, cmd.Stderr = log, log
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	if err := cmd.Start(); err != nil {
		return err
	}
	return cmd.Process.Release()
}
