//! Which addresses are clients', and what of an address counts as one client.

use std::net::{IpAddr, Ipv6Addr};

/// Loopback, private and link-local addresses: a proxy of ours, most likely, which stands for many clients.
pub fn is_private(address: IpAddr) -> bool {
    match address.to_canonical() {
        IpAddr::V4(v4) => v4.is_private() || v4.is_loopback() || v4.is_link_local(),
        IpAddr::V6(v6) => v6.is_loopback() || v6.is_unique_local() || v6.is_unicast_link_local(),
    }
}

/// Returns the unit that limits count by: an IPv4 address, or the first 64 bits of an IPv6 one, as that is what one
/// customer gets.
pub fn network(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(v6) => {
            let [a, b, c, d, ..] = v6.segments();
            Ipv6Addr::new(a, b, c, d, 0, 0, 0, 0).into()
        }
        v4 => v4,
    }
}
