//! How many connections each address holds, so that one can't take all of them.
//!
//! Loopback and private addresses are not counted: proxies are there, and stand for many clients. Of an IPv6 address the
//! first 64 bits count, as that is what one customer gets.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex};

use crate::base::address::network;
use crate::base::lock::lock;
use crate::config::Proxies;

/// The connections there are, by address.
#[derive(Clone, Debug)]
pub(super) struct Addresses {
    limit: Option<usize>,
    proxies: Proxies,
    open: Arc<Mutex<HashMap<IpAddr, usize>>>,
}

/// One connection's place; given back when it is dropped.
#[derive(Debug)]
pub(super) struct AddressSlot {
    address: Option<IpAddr>,
    open: Arc<Mutex<HashMap<IpAddr, usize>>>,
}

impl Addresses {
    /// Without a limit, nothing is counted; proxies stand for many clients.
    pub(super) fn new(limit: Option<usize>, proxies: Proxies) -> Self {
        Self { limit, proxies, open: Arc::default() }
    }

    /// A place for one more connection; none where the address has all it may have.
    pub(super) fn enter(&self, peer: IpAddr) -> Option<AddressSlot> {
        let place = |address| Some(AddressSlot { address, open: Arc::clone(&self.open) });
        let Some(limit) = self.limit.filter(|_| !self.proxies.contains(peer)) else { return place(None) };
        let address = network(peer);
        let mut open = lock(&self.open);
        let count = open.entry(address).or_default();
        if *count >= limit {
            return None;
        }
        *count += 1;
        drop(open);
        place(Some(address))
    }
}

impl Drop for AddressSlot {
    fn drop(&mut self) {
        let Some(address) = self.address else { return };
        let mut open = lock(&self.open);
        if let Some(count) = open.get_mut(&address) {
            *count -= 1;
            if *count == 0 {
                open.remove(&address);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[test]
    fn an_address_has_so_many_places_and_gets_them_back() {
        let addresses = Addresses::new(Some(2), Proxies::default());
        let places: Vec<_> = (0..2).map(|_| addresses.enter(ip("203.0.113.7"))).collect();
        assert!(places.iter().all(Option::is_some));
        assert!(addresses.enter(ip("203.0.113.7")).is_none());
        assert!(addresses.enter(ip("203.0.113.8")).is_some(), "another's");
        drop(places);
        assert!(addresses.enter(ip("203.0.113.7")).is_some());
        assert!(addresses.open.lock().unwrap().is_empty(), "nothing is kept of those who left");
    }

    #[test]
    fn a_customer_of_ipv6_counts_once_and_proxies_not_at_all() {
        let addresses = Addresses::new(Some(1), Proxies::default());
        let _one = addresses.enter(ip("2001:db8:1:2::1")).unwrap();
        assert!(addresses.enter(ip("2001:db8:1:2:ffff::9")).is_none());
        assert!(addresses.enter(ip("2001:db8:1:3::1")).is_some());
        for proxy in ["127.0.0.1", "10.1.2.3", "192.168.0.1", "::1", "fd00::1", "::ffff:10.0.0.1"] {
            let places: Vec<_> = (0..5).map(|_| addresses.enter(ip(proxy))).collect();
            assert!(places.iter().all(Option::is_some), "{proxy}");
        }
        let unlimited = Addresses::new(None, Proxies::default());
        assert!((0..5).map(|_| unlimited.enter(ip("203.0.113.7"))).all(|place| place.is_some()));
    }
}
