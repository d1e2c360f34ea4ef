package settings

// natsSettings configure the connection of the streaming part to NATS.
var natsSettings = []setting{
	{
		flags: []string{"ns", "nats_server"}, keys: []string{"ns", "nats_server", "nats_server_url"}, value: "<url>",
		usage: "Use these NATS servers, comma-separated, instead of the embedded one",
		set:   setString(func(o *Options) *string { return &o.NATSURL }),
	},
	{
		keys: []string{"user", "username"}, value: "<name>",
		usage: "User (on the command line: -user)",
		set:   setString(func(o *Options) *string { return &o.Login.User }),
	},
	{
		keys: []string{"pass", "password"}, value: "<password>",
		usage: "Password of the user (-pass)", secret: true,
		set: setString(func(o *Options) *string { return &o.Login.Password }),
	},
	{
		keys: []string{"token"}, value: "<token>",
		usage: "Token (-auth)", secret: true,
		set: setString(func(o *Options) *string { return &o.Login.Token }),
	},
	{
		keys: []string{"nkey_seed_file"}, value: "<file>",
		usage: "File with the seed of an nkey",
		set:   setString(func(o *Options) *string { return &o.Login.NKeySeedFile }),
	},
	{
		keys: []string{"credentials"}, value: "<file>",
		usage: "Credentials file with a user JWT and its seed",
		set:   setString(func(o *Options) *string { return &o.Login.CredentialsFile }),
	},
	{
		keys: []string{"account"}, value: "<name>",
		usage: "Account of the streaming clients, if the embedded NATS server has several accounts with users",
		state: added,
		set:   setString(func(o *Options) *string { return &o.Login.Account }),
	},
	{
		flags: []string{"secure"}, keys: []string{"secure"}, kind: toggle,
		usage: "Use TLS", needs: externalNATS,
		set: setBool(func(o *Options) *bool { return &o.Login.TLS.Required }),
	},
	{
		flags: []string{"tls_client_cert"}, keys: []string{"tls.client_cert"}, value: "<file>",
		usage: "Client certificate", needs: externalNATS,
		set: setString(func(o *Options) *string { return &o.Login.TLS.CertFile }),
	},
	{
		flags: []string{"tls_client_key"}, keys: []string{"tls.client_key"}, value: "<file>",
		usage: "Key of the client certificate", needs: externalNATS,
		set: setString(func(o *Options) *string { return &o.Login.TLS.KeyFile }),
	},
	{
		flags: []string{"tls_client_cacert"}, keys: []string{"tls.client_ca", "tls.client_cacert"}, value: "<file>",
		usage: "Certificate authority that must have signed the server's certificate", needs: externalNATS,
		set: setString(func(o *Options) *string { return &o.Login.TLS.CAFile }),
	},
	{
		keys: []string{"tls.server_name", "tls.server_hostname"}, value: "<name>",
		usage: "Host name that the server's certificate must match", needs: externalNATS,
		set: setString(func(o *Options) *string { return &o.Login.TLS.ServerName }),
	},
	{
		keys: []string{"tls.skip_verify", "tls.insecure"}, kind: toggle,
		usage: "Do not verify the server's certificate", needs: externalNATS,
		set: setBool(func(o *Options) *bool { return &o.Login.TLS.SkipVerify }),
	},
}
