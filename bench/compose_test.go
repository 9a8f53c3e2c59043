package bench

import (
	"context"
	"slices"
	"testing"

	"github.com/compose-spec/compose-go/v2/cli"
	"github.com/compose-spec/compose-go/v2/types"
)

func loadCompose(t *testing.T, env ...string) (*types.Project, error) {
	t.Helper()
	options, err := cli.NewProjectOptions([]string{"../docker-compose.yml"}, cli.WithEnv(env), cli.WithResolvedPaths(true))
	if err != nil {
		t.Fatal(err)
	}
	return options.LoadProject(context.Background())
}

func TestComposeFileHasEveryDaemonWithOnlyItsRights(t *testing.T) {
	project, err := loadCompose(t, "SONDE_PASSWORD=secret")
	if err != nil {
		t.Fatal(err)
	}
	want := map[string][]string{
		"migrate": {"migrate"}, "scheduler": {"scheduler"}, "worker-ping": {"worker", "ping"}, "worker-traceroute": {"worker", "traceroute"},
		"loader": {"loader"}, "analyst": {"analyst"}, "notifier": {"notifier"}, "annotator": {"annotator"}, "web": {"web", "--listen", "0.0.0.0:8080"},
	}
	if len(project.Services) != len(want)+1 {
		t.Errorf("services: %v", project.ServiceNames())
	}
	for name, command := range want {
		s, err := project.GetService(name)
		if err != nil {
			t.Error(err)
			continue
		}
		if !slices.Equal(s.Command, command) {
			t.Errorf("%s runs %q, not %q", name, s.Command, command)
		}
		worker := command[0] == "worker"
		if slices.Contains(s.CapAdd, "NET_RAW") != worker || len(s.CapAdd) > 1 || !slices.Equal(s.CapDrop, []string{"ALL"}) {
			t.Errorf("%s has the capabilities +%v -%v", name, s.CapAdd, s.CapDrop)
		}
		// no-new-privileges would take the file's capability away again.
		if slices.Contains(s.SecurityOpt, "no-new-privileges:true") == worker {
			t.Errorf("%s: security_opt %v", name, s.SecurityOpt)
		}
		if s.Privileged || s.User != "" || !s.ReadOnly || s.NetworkMode == "host" {
			t.Errorf("%s: privileged %v, user %q, read only %v, network %q", name, s.Privileged, s.User, s.ReadOnly, s.NetworkMode)
		}
		if got := s.Environment["SONDE_DATABASE"]; got == nil || *got != "host=database user=sonde dbname=sonde password=secret" {
			t.Errorf("%s: SONDE_DATABASE is %v", name, got)
		}
		target := "sonde"
		if worker {
			target = "raw"
		}
		if s.Build == nil || s.Build.Target != target {
			t.Errorf("%s is not built from the stage %s", name, target)
		}
		on, before := s.DependsOn["migrate"], types.ServiceConditionCompletedSuccessfully
		if name == "migrate" {
			on, before = s.DependsOn["database"], types.ServiceConditionHealthy
		}
		if on.Condition != before {
			t.Errorf("%s starts before the schema is there: %v", name, s.DependsOn)
		}
	}
}

func TestComposeFilePublishesOnlyThePagesAndOnlyHere(t *testing.T) {
	project, err := loadCompose(t, "SONDE_PASSWORD=secret")
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range project.Services {
		for _, p := range s.Ports {
			if s.Name != "web" || p.HostIP != "127.0.0.1" {
				t.Errorf("%s publishes %s:%s", s.Name, p.HostIP, p.Published)
			}
		}
	}
	if !project.Networks["database"].Internal {
		t.Error("the network of the database is open")
	}
}

func TestComposeFileWantsAPassword(t *testing.T) {
	if _, err := loadCompose(t); err == nil {
		t.Error("the compose file is taken without a password for the database")
	}
}
