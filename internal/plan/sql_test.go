package plan

import (
	"archive/zip"
	"context"
	"math/rand/v2"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"sonde/internal/pgtest"
)

// The database refuses at the door what the program could not run, and nothing
// else: a hundred thousand expressions, right, nearly right and garbage.
func TestDatabaseAndProgramAgreeOnCronExpressions(t *testing.T) {
	const most = 100_000
	r := rand.New(rand.NewPCG(11, 12))
	expressions := make([]string, 0, most)
	for range most {
		expressions = append(expressions, strings.ReplaceAll(randomExpression(r), "\x00", ""))
	}
	// Every character that could pass for a space, a digit or a letter of a name.
	for c := rune(1); c < 0x3100; c++ {
		expressions = append(expressions, "1 2 3"+string(c)+"4 5", "1"+string(c)+" 2 3 4 5", "1 2 3 4 fr"+string(c))
	}
	for _, c := range "\u212a\u212b\ufeff\uff11\U0001d7ce" {
		expressions = append(expressions, "1 2 3"+string(c)+"4 5", "1"+string(c)+" 2 3 4 5", "1 2 3 4 fr"+string(c))
	}
	rows, err := pgtest.New(t).Query(context.Background(),
		"SELECT coalesce(sonde_cron_problem(e), '') FROM unnest($1::text[]) WITH ORDINALITY u(e, n) ORDER BY n", expressions)
	if err != nil {
		t.Fatal(err)
	}
	defer rows.Close()
	accepted, n, wrong := 0, 0, 0
	for ; rows.Next(); n++ {
		var problem string
		if err := rows.Scan(&problem); err != nil {
			t.Fatal(err)
		}
		_, err := ParseCron(expressions[n])
		if err == nil {
			accepted++
		}
		if (err == nil) != (problem == "") && wrong < 20 {
			wrong++
			t.Errorf("%q: the program says %v, the database %q", expressions[n], err, problem)
		}
	}
	if err := rows.Err(); err != nil || n != len(expressions) {
		t.Fatalf("%d of %d expressions were judged: %v", n, len(expressions), err)
	}
	t.Logf("%d of %d expressions are right", accepted, n)
	if accepted < most/5 || accepted > most*4/5 {
		t.Errorf("%d of %d expressions are right: too one-sided to tell anything", accepted, n)
	}
}

func TestCronRefusalsAreSentencesThatHelp(t *testing.T) {
	db := pgtest.New(t)
	for expr, part := range map[string]string{
		"0 0 * * 7":                  "use 0 for Sunday",
		"0 0 30 2 *":                 "never fires",
		"@every 5m":                  "set run_interval",
		"@daily":                     "0 0 * * *",
		"TZ=Europe/Berlin 0 0 * * *": "column time_zone",
		"0 0 * *":                    "has 4 fields",
		"0 25 * * *":                 "use 0 to 23",
		"0 0 * * someday":            "from sun to sat",
		"50-10 * * * *":              "write 50-59,0-10",
		"*/0 * * * *":                "from 1 on",
	} {
		var problem string
		if err := db.QueryRow(context.Background(), "SELECT sonde_cron_problem($1)", expr).Scan(&problem); err != nil {
			t.Fatalf("%q: %v", expr, err)
		}
		if !strings.Contains(problem, part) {
			t.Errorf("%q is refused with %q, which does not say %q", expr, problem, part)
		}
	}
}

func TestTimeZonesOfTheDatabaseAreThoseOfTheProgram(t *testing.T) {
	db := pgtest.New(t)
	rows, err := db.Query(context.Background(), "SELECT name, coalesce(sonde_time_zone_problem(name), '') FROM pg_timezone_names")
	if err != nil {
		t.Fatal(err)
	}
	defer rows.Close()
	accepted := map[string]bool{}
	for rows.Next() {
		var name, problem string
		if err := rows.Scan(&name, &problem); err != nil {
			t.Fatal(err)
		}
		accepted[name] = problem == ""
	}
	if err := rows.Err(); err != nil {
		t.Fatal(err)
	}

	embedded := embeddedZones(t)
	for name, right := range accepted {
		if right && !slices.Contains(embedded, name) {
			t.Errorf("the database takes %q, which the program has not", name)
		}
		if !right && slices.Contains(embedded, name) && name != "Factory" {
			t.Errorf("the database refuses %q, which both have", name)
		}
	}
	if !accepted["Europe/Berlin"] || !accepted["UTC"] || len(embedded) < 400 {
		t.Errorf("%d zones in the database, %d in the program: something is missing", len(accepted), len(embedded))
	}

	for _, name := range []string{"europe/berlin", "Europe/Bonn", "FOO3", "FOO/BAR3", "Foo/Bar+3", "posix/Europe/Berlin", "Local", "", "+2", "CEST", "<X>-3"} {
		var problem string
		if err := db.QueryRow(context.Background(), "SELECT coalesce(sonde_time_zone_problem($1), '')", name).Scan(&problem); err != nil {
			t.Fatal(err)
		}
		if problem == "" {
			t.Errorf("the database takes the time zone %q", name)
		}
	}
}

// embeddedZones are the names that time/tzdata carries: it is made of this file.
func embeddedZones(t *testing.T) []string {
	t.Helper()
	root, err := exec.Command("go", "env", "GOROOT").Output()
	if err != nil {
		t.Fatal(err)
	}
	z, err := zip.OpenReader(filepath.Join(strings.TrimSpace(string(root)), "lib", "time", "zoneinfo.zip"))
	if err != nil {
		t.Fatal(err)
	}
	defer z.Close()
	var names []string
	for _, f := range z.File {
		if !strings.HasSuffix(f.Name, "/") {
			names = append(names, f.Name)
		}
	}
	return names
}

func TestThousandsOfInsertsDoNotWaitForTheCheck(t *testing.T) {
	db := pgtest.New(t)
	begun := time.Now()
	_, err := db.Exec(context.Background(), `SELECT sonde_cron_problem(i % 60 || ',*/7 1-5 * jan-jun mon-fri'), sonde_time_zone_problem('Europe/Berlin')
		FROM generate_series(1, 10000) i`)
	if err != nil {
		t.Fatal(err)
	}
	if took := time.Since(begun); took > 10*time.Second {
		t.Errorf("10,000 checks took %s", took)
	}
}
