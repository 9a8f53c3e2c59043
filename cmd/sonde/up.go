package main

import (
	"context"
	"fmt"

	"sonde/config"
)

func runUp(ctx context.Context, args []string) error {
	c, err := hostConfig("up", args)
	if err != nil {
		return err
	}
	return runHost(ctx, c, true, func(listen, dsn string) {
		fmt.Printf("ready http://%s psql \"%s\"\n", reachable(listen), withoutPassword(dsn))
	})
}

func runSupervise(ctx context.Context, args []string) error {
	c, err := hostConfig("supervise", args)
	if err != nil {
		return err
	}
	return runHost(ctx, c, false, func(_, _ string) {})
}

// hostConfig reads the settings of a verb that has no other flags.
func hostConfig(verb string, args []string) (config.Config, error) {
	fs := flags(verb)
	from := config.Flags(fs)
	if err := parse(fs, args, 0, 0); err != nil {
		return config.Config{}, err
	}
	return from.Load()
}
