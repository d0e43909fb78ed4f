//! Which addresses a call may reach: a name that somebody else answers for must not lead into the network within.
//!
//! What a setting names as an address was chosen by who runs this. A name is looked up at every connection, and whoever
//! answers for it may answer with anything: the address of a database that trusts its network, or the one under which a
//! cloud hands out keys. So names lead to public addresses only, but for those within ([`PrivateHosts`]); and link-local
//! addresses, where clouds hand out keys, are never reached.

use std::net::{IpAddr, SocketAddr};

use reqwest::Url;
use reqwest::dns::{Addrs, Name, Resolve, Resolving};

use crate::base::address::is_private;
use crate::config::PrivateHosts;

/// Looks names up, and leaves out where they may not lead.
pub(super) struct Resolver(pub(super) PrivateHosts);

impl Resolve for Resolver {
    fn resolve(&self, name: Name) -> Resolving {
        let within = self.0.has(name.as_str());
        Box::pin(async move {
            let found = tokio::net::lookup_host((name.as_str(), 0)).await?;
            let allowed: Vec<SocketAddr> =
                found.filter(|address| may_reach(address.ip(), within).is_ok()).collect();
            if allowed.is_empty() {
                return Err(format!(
                    "{} leads to no address that may be called; where it lies in a private network, \
                     GUILDHALL_PRIVATE_HOSTS has to name it",
                    name.as_str()
                )
                .into());
            }
            Ok(Box::new(allowed.into_iter()) as Addrs)
        })
    }
}

/// Addresses in a setting are not looked up, so they are checked by themselves.
pub(super) fn check(url: &Url) -> Result<(), String> {
    let host = url.host_str().unwrap_or_default();
    match host.trim_start_matches('[').trim_end_matches(']').parse() {
        Ok(address) => may_reach(address, true),
        Err(_) => Ok(()),
    }
}

/// May an address be called, by a name that is `within` or as an address that a setting names?
fn may_reach(address: IpAddr, within: bool) -> Result<(), String> {
    let address = address.to_canonical();
    let never = match address {
        IpAddr::V4(v4) => v4.is_link_local() || v4.is_unspecified() || v4.is_broadcast(),
        IpAddr::V6(v6) => v6.is_unicast_link_local() || v6.is_unspecified() || is_keys_of_a_cloud(v6),
    };
    if never || address.is_multicast() {
        return Err(format!("{address} is never called"));
    }
    if !within && (is_private(address) || is_shared(address)) {
        return Err(format!("{address} is in a private network"));
    }
    Ok(())
}

/// `fd00:ec2::254`, where AWS hands out keys by IPv6.
fn is_keys_of_a_cloud(address: std::net::Ipv6Addr) -> bool {
    address.segments() == [0xfd00, 0xec2, 0, 0, 0, 0, 0, 0x254]
}

/// Returns true for addresses that carriers and clouds use within (`100.64.0.0/10`), for those of "this network", and
/// for IPv6 addresses that stand for such an IPv4 one (`64:ff9b::/96`).
fn is_shared(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(v4) => {
            let [first, second, ..] = v4.octets();
            first == 0 || (first == 100 && (64..128).contains(&second)) || first >= 240
        }
        IpAddr::V6(v6) => {
            let segments = v6.segments();
            let [.., high, low] = segments;
            let v4 =
                IpAddr::from([high.to_be_bytes(), low.to_be_bytes()].concat().try_into().unwrap_or([0; 4]));
            segments[..6] == [0x64, 0xff9b, 0, 0, 0, 0] && (is_private(v4) || is_shared(v4))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Addresses that a name leads to, and whether each is called: from outside, and by a name within.
    #[test]
    fn private_addresses_are_called_by_names_within_only_and_some_never() {
        let table = [
            ("93.184.216.34", true, true),
            ("2606:2800:220:1::1", true, true),
            ("127.0.0.1", false, true),
            ("::1", false, true),
            ("::ffff:127.0.0.1", false, true),
            ("10.1.2.3", false, true),
            ("172.16.0.9", false, true),
            ("172.32.0.9", true, true),
            ("192.168.1.1", false, true),
            ("fd12::1", false, true),
            ("100.100.100.200", false, true),
            ("100.128.0.1", true, true),
            ("0.1.2.3", false, true),
            ("240.0.0.1", false, true),
            ("64:ff9b::a01:203", false, true),
            ("64:ff9b::5db8:d822", true, true),
            ("169.254.169.254", false, false),
            ("::ffff:169.254.169.254", false, false),
            ("fe80::1", false, false),
            ("fd00:ec2::254", false, false),
            ("0.0.0.0", false, false),
            ("::", false, false),
            ("255.255.255.255", false, false),
            ("224.0.0.1", false, false),
            ("ff02::1", false, false),
        ];
        for (address, from_outside, within) in table {
            let parsed: IpAddr = address.parse().unwrap();
            assert_eq!(may_reach(parsed, false).is_ok(), from_outside, "{address} by a name outside");
            assert_eq!(may_reach(parsed, true).is_ok(), within, "{address} by a name within");
        }
    }

    #[tokio::test]
    async fn a_name_that_leads_within_is_no_name_to_call_unless_it_is_one_of_ours() {
        let leads = async |hosts: &str, name: &str| {
            let resolver = Resolver(PrivateHosts::parse(hosts).unwrap());
            resolver.resolve(name.parse().unwrap()).await.map(|addresses| addresses.count())
        };
        let refused = leads("", "127.0.0.1").await.unwrap_err().to_string();
        assert!(refused.contains("GUILDHALL_PRIVATE_HOSTS"), "{refused}");
        assert_eq!(leads("127.0.0.1", "127.0.0.1").await.unwrap(), 1);
        assert!(leads("169.254.169.254", "169.254.169.254").await.is_err());
        assert!(leads("", "localhost").await.unwrap() > 0);
    }

    /// However an address is spelled in a setting, it is the address.
    #[test]
    fn addresses_in_settings_are_read_as_addresses() {
        for spelled in
            ["http://169.254.169.254/", "http://2852039166/", "http://0xa9fea9fe/", "http://[fe80::1]/"]
        {
            assert!(check(&Url::parse(spelled).unwrap()).is_err(), "{spelled}");
        }
        for spelled in ["http://127.0.0.1:8080/", "http://[::1]/", "https://example.com/"] {
            assert!(check(&Url::parse(spelled).unwrap()).is_ok(), "{spelled}");
        }
    }

    #[test]
    fn names_of_one_word_and_those_of_the_setting_are_within() {
        let hosts = PrivateHosts::parse(".internal,.local,game.example.com").unwrap();
        for name in
            ["localhost", "game-server", "chat.eu.internal", "a.svc.cluster.LOCAL", "game.example.com"]
        {
            assert!(hosts.has(name), "{name}");
        }
        for name in [
            "internal.example.com",
            "example.com",
            "xgame.example.com",
            "a.game.example.com",
            "notinternal.com",
        ] {
            assert!(!hosts.has(name), "{name}");
        }
        for wrong in ["http://x", "a b", "*", "x/y"] {
            assert!(PrivateHosts::parse(wrong).is_err(), "{wrong}");
        }
    }
}
