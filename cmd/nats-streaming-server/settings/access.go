package settings

// accessSettings say who may do what.
var accessSettings = []setting{
	{
		flags: []string{"access_file"}, keys: []string{"access_file"}, value: "<file>",
		usage: "Principals and their rights on channels; read again on SIGHUP (docs/operate/security.md)",
		state: added, live: true,
		set: setString(func(o *Options) *string { return &o.AccessFile }),
	},
}
