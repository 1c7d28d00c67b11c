package egress

import "net/netip"

// block is a range of addresses that nobody on the Internet is reached at.
type block struct {
	prefix netip.Prefix
	source string // who set it aside
	date   string // when, year and month; "" where the source gives none
}

// blocks are the IANA special-purpose address registries for IPv4 and IPv6, every
// entry, whether globally reachable or not and also inside a larger one, as they stood
// when RFC 9780 (April 2025) was their newest entry; and, marked so, what contract §16
// adds. The dates are the registries' allocation dates. A new entry upstream belongs
// here with its date.
// Package netip's own predicates miss most of them.
var blocks = []block{
	{netip.MustParsePrefix("0.0.0.0/8"), "RFC 791, this network", "1981-09"},
	{netip.MustParsePrefix("0.0.0.0/32"), "RFC 1122, this host", "1981-09"},
	{netip.MustParsePrefix("10.0.0.0/8"), "RFC 1918, private use", "1996-02"},
	{netip.MustParsePrefix("100.64.0.0/10"), "RFC 6598, shared address space", "2012-04"},
	{netip.MustParsePrefix("127.0.0.0/8"), "RFC 1122, loopback", "1981-09"},
	{netip.MustParsePrefix("169.254.0.0/16"), "RFC 3927, link local", "2005-05"},
	{netip.MustParsePrefix("172.16.0.0/12"), "RFC 1918, private use", "1996-02"},
	{netip.MustParsePrefix("192.0.0.0/24"), "RFC 6890, IETF protocol assignments", "2010-01"},
	{netip.MustParsePrefix("192.0.0.0/29"), "RFC 7335, IPv4 service continuity", "2011-06"},
	{netip.MustParsePrefix("192.0.0.8/32"), "RFC 7600, IPv4 dummy address", "2015-03"},
	{netip.MustParsePrefix("192.0.0.9/32"), "RFC 7723, port control anycast", "2015-10"},
	{netip.MustParsePrefix("192.0.0.10/32"), "RFC 8155, TURN anycast", "2017-02"},
	{netip.MustParsePrefix("192.0.0.170/32"), "RFC 7050, NAT64 discovery", "2013-02"},
	{netip.MustParsePrefix("192.0.0.171/32"), "RFC 7050, NAT64 discovery", "2013-02"},
	{netip.MustParsePrefix("192.0.2.0/24"), "RFC 5737, documentation", "2010-01"},
	{netip.MustParsePrefix("192.31.196.0/24"), "RFC 7535, AS112", "2014-12"},
	{netip.MustParsePrefix("192.52.193.0/24"), "RFC 7450, AMT", "2014-12"},
	{netip.MustParsePrefix("192.88.99.0/24"), "RFC 7526, 6to4 relay anycast", "2001-06"},
	{netip.MustParsePrefix("192.168.0.0/16"), "RFC 1918, private use", "1996-02"},
	{netip.MustParsePrefix("192.175.48.0/24"), "RFC 7534, AS112", "1996-01"},
	{netip.MustParsePrefix("198.18.0.0/15"), "RFC 2544, benchmarking", "1999-03"},
	{netip.MustParsePrefix("198.51.100.0/24"), "RFC 5737, documentation", "2010-01"},
	{netip.MustParsePrefix("203.0.113.0/24"), "RFC 5737, documentation", "2010-01"},
	{netip.MustParsePrefix("240.0.0.0/4"), "RFC 1112, reserved", "1989-08"},
	{netip.MustParsePrefix("255.255.255.255/32"), "RFC 919, limited broadcast", "1984-10"},
	{netip.MustParsePrefix("224.0.0.0/4"), "added: RFC 5771, multicast", "2010-03"},
	{netip.MustParsePrefix("168.63.129.16/32"), "added: the platform address inside every Azure network", ""},

	{netip.MustParsePrefix("::1/128"), "RFC 4291, loopback", "2006-02"},
	{netip.MustParsePrefix("::/128"), "RFC 4291, unspecified", "2006-02"},
	{netip.MustParsePrefix("::ffff:0:0/96"), "RFC 4291, IPv4-mapped", "2006-02"},
	{netip.MustParsePrefix("64:ff9b::/96"), "RFC 6052, NAT64", "2010-10"},
	{netip.MustParsePrefix("64:ff9b:1::/48"), "RFC 8215, NAT64", "2017-06"},
	{netip.MustParsePrefix("100::/64"), "RFC 6666, discard only", "2012-06"},
	{netip.MustParsePrefix("100:0:0:1::/64"), "RFC 9780, dummy prefix", "2025-04"},
	{netip.MustParsePrefix("2001::/23"), "RFC 2928, IETF protocol assignments", "2000-09"},
	{netip.MustParsePrefix("2001::/32"), "RFC 4380, Teredo", "2006-01"},
	{netip.MustParsePrefix("2001:1::1/128"), "RFC 7723, port control anycast", "2015-10"},
	{netip.MustParsePrefix("2001:1::2/128"), "RFC 8155, TURN anycast", "2017-02"},
	{netip.MustParsePrefix("2001:1::3/128"), "RFC 9665, service registration anycast", "2024-04"},
	{netip.MustParsePrefix("2001:2::/48"), "RFC 5180, benchmarking", "2008-04"},
	{netip.MustParsePrefix("2001:3::/32"), "RFC 7450, AMT", "2014-12"},
	{netip.MustParsePrefix("2001:4:112::/48"), "RFC 7535, AS112", "2014-12"},
	{netip.MustParsePrefix("2001:10::/28"), "RFC 4843, ORCHID, deprecated", "2007-03"},
	{netip.MustParsePrefix("2001:20::/28"), "RFC 7343, ORCHIDv2", "2014-07"},
	{netip.MustParsePrefix("2001:30::/28"), "RFC 9374, drone identification", "2022-12"},
	{netip.MustParsePrefix("2001:db8::/32"), "RFC 3849, documentation", "2004-07"},
	{netip.MustParsePrefix("2002::/16"), "RFC 3056, 6to4", "2001-02"},
	{netip.MustParsePrefix("2620:4f:8000::/48"), "RFC 7534, AS112", "2011-05"},
	{netip.MustParsePrefix("3fff::/20"), "RFC 9637, documentation", "2024-07"},
	{netip.MustParsePrefix("5f00::/16"), "RFC 9602, segment routing", "2024-04"},
	{netip.MustParsePrefix("fc00::/7"), "RFC 4193, unique local", "2005-10"},
	{netip.MustParsePrefix("fe80::/10"), "RFC 4291, link local", "2006-02"},
	{netip.MustParsePrefix("::/96"), "added: RFC 4291, IPv4-compatible, deprecated", "2006-02"},
	{netip.MustParsePrefix("fec0::/10"), "added: RFC 3879, site local, deprecated", "2004-09"},
	{netip.MustParsePrefix("ff00::/8"), "added: RFC 4291, multicast", "2006-02"},
}

// globalUnicast is the only part of IPv6 that IANA hands out.
var globalUnicast = netip.MustParsePrefix("2000::/3")

// publicAddr tells whether addr is a public unicast address. An IPv6 address that
// carries an IPv4 address (mapped, NAT64, 6to4, Teredo) never is, whatever it
// carries: all their ranges are among the blocks.
func publicAddr(addr netip.Addr) bool {
	if !addr.IsValid() || addr.Zone() != "" || addr.Is6() && !globalUnicast.Contains(addr) {
		return false
	}
	for i := range blocks {
		if blocks[i].prefix.Contains(addr) {
			return false
		}
	}
	return true
}

// publicPort tells whether an unlisted host may be contacted on that port.
func publicPort(port uint16) bool { return port == 80 || port == 443 || port >= 1024 }
