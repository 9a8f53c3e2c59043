package main

import (
	"context"
	"fmt"

	"sonde/config"
	"sonde/internal/embeddedpg"
)

// databaseOf gives the connection string of the configured database: the one
// that is named, else the embedded one of the state folder.
func databaseOf(c config.Config) (string, error) {
	if !c.Embedded() {
		return c.Database.Reveal(), nil
	}
	dsn, err := embeddedpg.DSN(c.DatabaseDir())
	if err != nil {
		return "", fmt.Errorf("%w: start it with `sonde up --data %s`, or name a database with --database", err, c.State)
	}
	return dsn, nil
}

func runDSN(_ context.Context, args []string) error {
	c, err := hostConfig("dsn", args)
	if err != nil {
		return err
	}
	dsn, err := databaseOf(c)
	if err != nil {
		return err
	}
	fmt.Println(dsn)
	return nil
}
