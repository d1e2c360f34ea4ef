package settings

import (
	"flag"
	"fmt"
	"io"
	"strings"
)

// Split sets the command's flags from the arguments and returns the other arguments, which are options of the server.
func Split(fs *flag.FlagSet, args []string) (rest []string, err error) {
	fs.SetOutput(io.Discard)
	server := allFlags()
	for i := 0; i < len(args); i++ {
		name, value, hasValue := strings.Cut(strings.TrimLeft(args[i], "-"), "=")
		switch isFlag := strings.HasPrefix(args[i], "-"); {
		case name == "help" || isFlag && name == "h":
			return nil, flag.ErrHelp
		case !isFlag && i > 0 && isBool(args[i]):
			return nil, switchWithValue(args, i)
		case !isFlag:
			return nil, fmt.Errorf("unexpected argument %q: %s takes options here, which begin with -: -h lists them", args[i], fs.Name())
		}
		f, ofServer := fs.Lookup(name), server.Lookup(hidden(name))
		if f == nil && ofServer == nil {
			return nil, unknownFlag(name, append(flagNames(fs), flagNames(server)...))
		}
		if f == nil {
			rest = append(rest, args[i])
			if !hasValue && !isSwitch(ofServer) && i+1 < len(args) {
				i++
				rest = append(rest, args[i])
			}
			continue
		}
		switch {
		case hasValue:
		case isSwitch(f):
			value = "true"
		case i+1 == len(args):
			return nil, fmt.Errorf("flag -%s: needs a value", name)
		default:
			i++
			value = args[i]
		}
		if err := fs.Set(name, value); err != nil {
			return nil, fmt.Errorf("flag -%s: %q: %w: -h shows what it takes", name, value, err)
		}
	}
	return rest, nil
}
