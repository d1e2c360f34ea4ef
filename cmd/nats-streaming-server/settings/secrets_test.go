package settings

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

func TestHideSecrets(t *testing.T) {
	t.Parallel()
	for args, want := range map[string]string{
		"-grpc_token geheim -DV":                                  "-grpc_token *** -DV",
		"--grpc_token=geheim=1":                                   "--grpc_token=***",
		"-auth -geheim=1 -pass=geheim":                            "-auth *** -pass=***",
		"-sql_source postgres://u:geheim@h/db -sql_source_file f": "-sql_source *** -sql_source_file f",
		"-ns nats://u:geheim@h:1,geheim@h -user u":                "-ns nats://***@h:1,***@h -user u",
		"-routes=nats://u:geheim@h:1,nats://g":                    "-routes=nats://***@h:1,nats://g",
		"-cluster nats://u:geheim@h:1 -user a@b":                  "-cluster nats://***@h:1 -user a@b",
		"import -encryption_key geheim -dir d":                    "import -encryption_key *** -dir d",
		"-unknown=https://geheim@h/x -grpc_token":                 "-unknown=https://***@h/x -grpc_token",
	} {
		got := strings.Fields(args)
		HideSecrets(got)
		if text := strings.Join(got, " "); text != want {
			t.Errorf("%s became %s, want %s", args, text, want)
		}
	}
}

// write returns a file with the content.
func write(t *testing.T, name, content string) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(file, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
	return file
}

// A flag overrides the environment, which overrides the configuration file; each takes the value or a file.
func TestPlacesOfSecrets(t *testing.T) {
	file := func(content string) string { return write(t, "secret", content) }
	conf := func(text string) []string { return []string{"-c", write(t, "server.conf", "streaming { "+text+" }")} }
	for name, it := range map[string]struct {
		env  string
		args []string
		want string
	}{
		"flag":                {"", []string{"-grpc_token", "flag"}, "flag"},
		"flag, file":          {"", []string{"-grpc_token_file", file("flag\n")}, "flag"},
		"environment":         {"env", nil, "env"},
		"key":                 {"", conf("grpc { token: key }"), "key"},
		"key, file":           {"", conf("grpc { token_file: " + file("key\r\n") + " }"), "key"},
		"key from a variable": {"", conf("grpc { token: $A_TOKEN }"), "from.a.variable"},
		"flag first":          {"env", append(conf("grpc { token: key }"), "-grpc_token_file", file("flag")), "flag"},
		"environment second":  {"env", conf("grpc { token_file: " + file("key") + " }"), "env"},
	} {
		t.Run(name, func(t *testing.T) {
			if it.env != "" {
				t.Setenv("NATS_STREAMING_GRPC_TOKEN", it.env)
			}
			t.Setenv("A_TOKEN", `"from.a.variable"`)
			o, err := configureIn(t, it.args...)
			if err != nil || o.API.Token != it.want {
				t.Errorf("got token %q, error %v, want %q", o.API.Token, err, it.want)
			}
		})
	}
	t.Run("all", func(t *testing.T) {
		t.Setenv("NATS_STREAMING_PASS", "p")
		t.Setenv("NATS_STREAMING_SQL_SOURCE", "s")
		o, err := configureIn(t, append(conf("token_file: "+file(" t \n\n")), "-store", "SQL", "-sql_driver", "sqlite")...)
		if err != nil || o.Login.Password != "p" || o.Login.Token != " t \n" || o.Store.Source != "s" {
			t.Errorf("got %q %q %q, error %v", o.Login.Password, o.Login.Token, o.Store.Source, err)
		}
	})
}

// Errors about secrets say what is wrong without showing them.
func TestErrorsOfSecrets(t *testing.T) {
	file := write(t, "secret", "geheim")
	empty := write(t, "empty", "\n")
	conf := func(text string) []string { return []string{"-c", write(t, "server.conf", text)} }
	for name, it := range map[string]struct {
		args []string
		want string
	}{
		"flags":          {[]string{"-grpc_token", "geheim", "-grpc_token_file", file}, "grpc_token and grpc_token_file are both given"},
		"keys":           {conf("streaming { grpc {\n token: geheim\n token_file: " + file + " } }"), "server.conf:3: key \"grpc.token_file\": grpc_token and grpc_token_file are both given"},
		"aliases":        {conf("streaming { pass: geheim, password_file: " + file + " }"), "pass and pass_file are both given"},
		"missing file":   {[]string{"-grpc_token_file", file + ".x"}, "flag -grpc_token_file: open " + file + ".x: no such file"},
		"empty file":     {[]string{"-sql_source_file", empty}, "flag -sql_source_file: " + empty + " is empty"},
		"several lines":  {[]string{"-grpc_token_file", write(t, "lines", "geheim\ngeheim\n")}, "flag -grpc_token_file: a header cannot carry the token"},
		"spaces":         {[]string{"-grpc_token_file", write(t, "spaces", " geheim\n")}, "flag -grpc_token_file: a header cannot carry the token"},
		"empty flag":     {[]string{"-grpc_token", ""}, "flag -grpc_token: the value is empty"},
		"empty variable": {conf("streaming { grpc { token: $EMPTY } }"), `key "grpc.token": the value is empty`},
		"type":           {conf("streaming { pass: 9999 }"), `parameter "pass" value is expected to be string, got int64`},
		"missing value":  {conf("streaming { pass: $NO_SUCH_VARIABLE }"), "variable reference for 'NO_SUCH_VARIABLE' on line 1 can not be found"},
		"large number":   {conf("streaming { pass: 99999999999999999999 }"), "looks like a number needs quotes"},
		"variable":       {conf("streaming { pass: $A_NUMBER }"), "needs quotes inside the variable"},
		"URL":            {[]string{"-cluster", "nats://geheim:geheim@h:port"}, "nats://***@h:port"},
		"URL of a key":   {conf("cluster { routes: [\"nats://geheim:geheim@h:port\"] }"), "nats://***@h:port"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Setenv("A_NUMBER", "99999999999999999999")
			t.Setenv("EMPTY", "")
			_, err := configureIn(t, it.args...)
			if err == nil || !strings.Contains(err.Error(), it.want) {
				t.Fatalf("got error %v, want %s", err, it.want)
			}
			for _, secret := range []string{"geheim", "9999"} {
				if strings.Contains(err.Error(), secret) {
					t.Errorf("the error shows the secret: %v", err)
				}
			}
		})
	}
}

func TestEmptyVariable(t *testing.T) {
	t.Setenv("NATS_STREAMING_GRPC_TOKEN", "")
	if _, err := configureIn(t); err == nil || !strings.Contains(err.Error(), "environment variable NATS_STREAMING_GRPC_TOKEN: the value is empty") {
		t.Errorf("an empty variable: %v", err)
	}
}

// Each secret has a file and a variable of its own.
func TestSecretsHaveNames(t *testing.T) {
	t.Parallel()
	var names []string
	for _, it := range settings {
		if it.secret {
			names = append(names, it.variable())
		}
	}
	if want := []string{"NATS_STREAMING_KEYS_SOURCE", "NATS_STREAMING_SQL_SOURCE", "NATS_STREAMING_GRPC_TOKEN", "NATS_STREAMING_CONSOLE_SQL_SOURCE", "NATS_STREAMING_PASS", "NATS_STREAMING_TOKEN"}; !slices.Equal(names, want) {
		t.Errorf("the variables are %v, want %v", names, want)
	}
}
