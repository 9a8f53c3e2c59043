package main

import (
	"context"
	"encoding/json"
	"fmt"
	"os"

	"sonde/config"
	"sonde/internal/schema"
)

func runMigrate(ctx context.Context, args []string) error {
	fs := flags("migrate")
	from := config.Flags(fs)
	asJSON := fs.Bool("json", false, "print JSON")
	if err := parse(fs, args, 0, 0); err != nil {
		return err
	}
	c, err := from.Load()
	if err != nil {
		return err
	}
	dsn, err := databaseOf(c)
	if err != nil {
		return err
	}
	report, err := schema.Up(ctx, dsn)
	if err != nil {
		return err
	}
	if *asJSON {
		return json.NewEncoder(os.Stdout).Encode(report)
	}
	for _, m := range report.Applied {
		fmt.Println("applied", m)
	}
	fmt.Println("schema version", report.Version)
	for _, p := range report.Problems {
		fmt.Println("no longer right:", p)
	}
	return nil
}
