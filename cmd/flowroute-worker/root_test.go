package main

import (
	"bytes"
	"strings"
	"testing"

	"github.com/spf13/cobra"
)

// every calls f for each command that people can type.
func every(cmd *cobra.Command, f func(*cobra.Command)) {
	f(cmd)
	for _, child := range cmd.Commands() {
		if child.Name() != "help" && child.Name() != "completion" && !child.Hidden {
			every(child, f)
		}
	}
}

func TestEveryCommandExplainsItself(t *testing.T) {
	t.Parallel()
	b := &bundle{t: t}
	every(newRoot(world{out: new(bytes.Buffer), errs: new(bytes.Buffer)}), func(cmd *cobra.Command) {
		if cmd.Short == "" || cmd.Long == "" || cmd.Example == "" {
			t.Errorf("%s: lacks a short text, a long one or an example", cmd.CommandPath())
		}
		if strings.HasSuffix(cmd.Short, ".") {
			t.Errorf("%s: the short text ends with a full stop", cmd.CommandPath())
		}
		for line := range strings.Lines(cmd.Long) {
			if len([]rune(line)) > 160 {
				t.Errorf("%s: a line of %d characters: %s", cmd.CommandPath(), len(line), line)
			}
		}
		args := append(strings.Fields(cmd.CommandPath())[1:], "--help")
		got := b.run(args...).want(t, exitDone, "Usage:", "")
		if !strings.Contains(got.out, strings.TrimSpace(strings.SplitN(cmd.Example, "\n", 2)[0])) {
			t.Errorf("%s --help shows no example:\n%s", cmd.CommandPath(), got.out)
		}
		for line := range strings.Lines(cmd.Example) {
			line = strings.TrimSpace(line)
			if !strings.Contains(line, "flowroute-worker ") && !strings.HasSuffix(line, "flowroute-worker run") {
				t.Errorf("%s: example without the command: %s", cmd.CommandPath(), line)
			}
		}
	})
}

func TestDataCommandsSpeakJSON(t *testing.T) {
	t.Parallel()
	silent := map[string]bool{"run": true}
	every(newRoot(world{}), func(cmd *cobra.Command) {
		if !cmd.HasSubCommands() && !silent[cmd.Name()] && cmd.Flags().Lookup("json") == nil {
			t.Errorf("%s has no --json", cmd.CommandPath())
		}
	})
}

// TestUsage: what is typed wrong ends with code 2, one line that says what, and
// where to read more; nothing is needed for it but the program.
func TestUsage(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		args []string
		says string
	}{
		"unknown command":            {[]string{"sned"}, `did you mean send?`},
		"nothing like it":            {[]string{"frobnicate"}, `there are campaign, cancel, demo, doctor`},
		"unknown subcommand":         {[]string{"numbers", "lst"}, "did you mean list"},
		"no subcommand":              {[]string{"routes"}, "routes: give one of create, list, set-failover, set-primary"},
		"unknown flag":               {[]string{"send", "--form", "x"}, "unknown flag: --form"},
		"flag of another type":       {[]string{"demo", "--fast", "x"}, "--fast"},
		"flag without value":         {[]string{"send", "--from"}, "--from"},
		"argument where none is":     {[]string{"version", "please"}, `takes no arguments, got "please"`},
		"argument missing":           {[]string{"status"}, "give a job id"},
		"argument too many":          {[]string{"status", "a", "b"}, "nothing more"},
		"bad role":                   {[]string{"run", "--roles", "worker,cook"}, `no role "cook"`},
		"no role":                    {[]string{"run", "--roles", ""}, "--roles: give"},
		"demo out of bounds":         {[]string{"demo", "--messages", "1"}, "from 20 to"},
		"fault that is none":         {[]string{"simulate", "--fault", "x=0.1"}, `no fault "x"`},
		"fault without number":       {[]string{"simulate", "--fault", "401=often"}, "probability"},
		"no number at all":           {[]string{"numbers", "show", "bob"}, "phone number"},
		"when is no time":            {append(sent(), "--at", "tomorrow"), "--at"},
		"expiry that is none":        {append(sent(), "--expires-in", "-5m"), "--expires-in"},
		"every problem of a message": {[]string{"send", "--from", "1", "--priority", "x"}, "to: give a number"},
		"purchase of anything":       {[]string{"numbers", "purchase"}, "give"},
		"purchase of two kinds":      {[]string{"numbers", "purchase", "+12065550130", "--state", "WA"}, "number"},
		"route that is none":         {[]string{"routes", "set-primary", "+12065550100", "ftp:x"}, "use host, number or uri"},
		"route to create by id":      {[]string{"routes", "create", "83834"}, "type:value"},
		"since in the future":        {[]string{"mdr", "list", "--since", "soon"}, "--since"},
		"direction that is none":     {[]string{"mdr", "list", "--direction", "up"}, "inbound or outbound"},
		"limit out of bounds":        {[]string{"mdr", "list", "--limit", "0"}, "from 1 to 1000"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got := (&bundle{t: t}).run(c.args...).want(t, exitUsage, "", c.says)
			if n := strings.Count(got.errs, "\n"); n > 2 || got.out != "" {
				t.Errorf("got %d lines and output %q, want a line, perhaps one that points to the help, and no output:\n%s", n, got.out, got.errs)
			}
		})
	}
}

// TestConfigurationProblems: all at once, never a secret, code 2.
func TestConfigurationProblems(t *testing.T) {
	t.Parallel()
	b := &bundle{t: t, env: map[string]string{
		"RATE_SMS_PER_SECOND": "many", "REDIS_URL": "redis://:hunter2@localhost:6379/no", "SHUTDOWN_TIMEOUT": "",
		"FLOWROUTE_TIMEOUT": "soon", "FR_SECRET_KEY": "s3cr3t with space", "MDR_RETENTION": "2h", "RATE_MMS_PER_SECOND": "1/0.001",
		"HTTP_ADDR": "0.0.0.0:80",
	}}
	got := b.run("run").want(t, exitUsage, "", "the configuration has")
	for _, name := range []string{"RATE_SMS_PER_SECOND", "REDIS_URL", "FLOWROUTE_TIMEOUT", "FR_ACCESS_KEY", "FR_SECRET_KEY", "MDR_RETENTION", "RATE_MMS_PER_SECOND", "HTTP_ADDR"} {
		if !strings.Contains(got.errs, "\n  "+name+": ") {
			t.Errorf("%s is not reported:\n%s", name, got.errs)
		}
	}
	for _, secret := range []string{"hunter2", "s3cr3t"} {
		if strings.Contains(got.errs, secret) {
			t.Errorf("a secret is shown:\n%s", got.errs)
		}
	}
}

// TestCredentialsOnlyWhereNeeded: a machine that only enqueues has none.
func TestCredentialsOnlyWhereNeeded(t *testing.T) {
	t.Parallel()
	b := setup(t).with("FR_ACCESS_KEY", "", "FR_SECRET_KEY", "")
	b.run(sent()...).want(t, exitDone, "", "")
	b.run("numbers", "areacodes").want(t, exitUsage, "", "FR_ACCESS_KEY: must be set")
	b.run("run").want(t, exitUsage, "", "FR_SECRET_KEY: must be set")
}

func TestVersion(t *testing.T) {
	t.Parallel()
	b := &bundle{t: t}
	b.run("version").want(t, exitDone, "flowroute-worker ", "")
	if v := b.run("version", "--json").want(t, exitDone, "", "").json(t); v["go"] == "" || v["version"] == "" {
		t.Errorf("got %v, want version and Go release", v)
	}
	b.run("--version").want(t, exitDone, "flowroute-worker", "")
	b.run().want(t, exitDone, "Usage:", "")
}
