package access

import (
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"encoding/hex"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"
)

// An identity is a name in a certificate, with its kind in front: the subject, or a DNS name, URI or e-mail address.

// identitiesOf returns the identities of a certificate.
func identitiesOf(cert *x509.Certificate) []string {
	var all []string
	for _, u := range cert.URIs {
		all = append(all, "uri:"+u.String())
	}
	for _, name := range cert.DNSNames {
		all = append(all, "dns:"+strings.ToLower(name))
	}
	for _, address := range cert.EmailAddresses {
		all = append(all, "email:"+address)
	}
	var subject pkix.RDNSequence
	if rest, err := asn1.Unmarshal(cert.RawSubject, &subject); err == nil && len(rest) == 0 && len(subject) > 0 {
		all = append(all, "subject:"+keyOf(subject))
	}
	return all
}

// scheme matches the beginning of a URI.
var scheme = regexp.MustCompile(`^[A-Za-z][A-Za-z0-9+.-]*:`)

// parseIdentity reads an identity of the access file. The kind follows from its form.
func parseIdentity(s string) (string, error) {
	switch {
	case s == "":
		return "", errors.New("the name is empty")
	case scheme.MatchString(s):
		return "uri:" + s, nil
	case strings.Contains(s, "="):
		key, err := parseSubject(s)
		return "subject:" + key, err
	case strings.Contains(s, "@"):
		return "email:" + s, nil
	}
	return "dns:" + strings.ToLower(s), nil
}

// attributes are the short names of attribute types (RFC 4514 section 3, and those that OpenSSL prints).
var attributes = map[string]string{
	"2.5.4.3": "CN", "2.5.4.5": "SERIALNUMBER", "2.5.4.6": "C", "2.5.4.7": "L", "2.5.4.8": "ST", "2.5.4.9": "STREET",
	"2.5.4.10": "O", "2.5.4.11": "OU", "2.5.4.17": "POSTALCODE",
	"0.9.2342.19200300.100.1.25": "DC", "0.9.2342.19200300.100.1.1": "UID", "1.2.840.113549.1.9.1": "EMAILADDRESS",
}

// keyOf returns a subject in a form that does not depend on the order of its relative names.
func keyOf(subject pkix.RDNSequence) string {
	var names [][]string
	for _, rdn := range subject {
		var name []string
		for _, a := range rdn {
			typ := a.Type.String()
			if short := attributes[typ]; short != "" {
				typ = short
			}
			value, ok := a.Value.(string)
			if !ok {
				value = "\x00" // no text of the access file equals it
			}
			name = append(name, attributeKey(typ, value))
		}
		names = append(names, name)
	}
	return sortedKey(names)
}

func attributeKey(typ, value string) string { return fmt.Sprintf("%s=%q", strings.ToUpper(typ), value) }

func sortedKey(names [][]string) string {
	keys := make([]string, len(names))
	for i, name := range names {
		slices.Sort(name)
		keys[i] = strings.Join(name, "+")
	}
	slices.Sort(keys)
	return strings.Join(keys, ",")
}

// parseSubject reads the text of a subject (RFC 4514) and returns its key.
func parseSubject(s string) (string, error) {
	names := [][]string{nil}
	for rest := s; ; {
		typ, after, ok := strings.Cut(rest, "=")
		typ = strings.TrimSpace(typ)
		if !ok || typ == "" || strings.ContainsAny(typ, `,+;"\`) {
			return "", fmt.Errorf("subject %q: expected a type and a value, such as CN=billing,O=Shop", s)
		}
		if short := attributes[typ]; short != "" {
			typ = short
		}
		value, end, err := attributeValue(after)
		if err != nil {
			return "", fmt.Errorf("subject %q: %w", s, err)
		}
		last := len(names) - 1
		names[last] = append(names[last], attributeKey(typ, value))
		if end == len(after) {
			return sortedKey(names), nil
		}
		if after[end] == ',' {
			names = append(names, nil)
		}
		rest = after[end+1:]
	}
}

// attributeValue returns the value at the beginning of s, without its escapes, and where it ends: at , or +, or with s.
func attributeValue(s string) (value string, end int, err error) {
	s0 := strings.TrimLeft(s, " ")
	skipped := len(s) - len(s0)
	var b []byte
	kept := 0 // trailing spaces beyond it are not part of the value
	i := 0
	for ; i < len(s0) && s0[i] != ',' && s0[i] != '+'; i++ {
		switch c := s0[i]; {
		case c == ' ':
			b = append(b, c)
			continue
		case c != '\\':
			b = append(b, c)
		case i+1 < len(s0) && strings.ContainsRune(` "#+,;<=>\`, rune(s0[i+1])):
			i++
			b = append(b, s0[i])
		default:
			octet, err := hex.DecodeString(s0[i+1 : min(i+3, len(s0))])
			if err != nil || len(octet) != 1 {
				return "", 0, errors.New(`after \, expected one of the characters that need it or two hexadecimal digits`)
			}
			i += 2
			b = append(b, octet[0])
		}
		kept = len(b)
	}
	if kept == 0 {
		return "", 0, errors.New("a value is empty")
	}
	return string(b[:kept]), skipped + i, nil
}
