package notify

import (
	"fmt"
	"os"
	"strings"
)

// Secret resolves a reference to a secret: "file:/path" is the file's content
// without the newline at its end, "env:NAME" a variable of the environment. It
// is read when the message is sent, so a changed file works without a restart.
// The error names the reference and what is missing, never the secret.
func Secret(ref string) (string, error) {
	kind, where, _ := strings.Cut(ref, ":")
	switch kind {
	case "file":
		b, err := os.ReadFile(where)
		if err != nil {
			return "", fmt.Errorf("secret %s: %w", ref, err)
		}
		secret := strings.TrimRight(string(b), "\r\n")
		if secret == "" {
			return "", fmt.Errorf("secret %s: the file is empty", ref)
		}
		return secret, nil
	case "env":
		secret, set := os.LookupEnv(where)
		if !set || secret == "" {
			return "", fmt.Errorf("secret %s: the environment of this daemon has no variable %s", ref, where)
		}
		return secret, nil
	}
	// What stands here instead of a reference may be the secret itself.
	return "", fmt.Errorf("a secret must be a reference, \"file:/path\" or \"env:NAME\"")
}
