package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"

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
		return "", noDatabase(err, c.State)
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

// noDatabase says what to do about an embedded database that is not found.
func noDatabase(err error, state string) error {
	if errors.Is(err, fs.ErrPermission) {
		return fmt.Errorf("%w: it belongs to another user: ask as root or as the one that runs sonde, or name the database with --database", err)
	}
	return fmt.Errorf("%w: start it with `sonde up --data %s`, or name a database with --database", err, state)
}
