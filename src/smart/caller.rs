//! Who calls, where a proxy stands between: a proxy's word counts, a stranger's does not.

use std::net::IpAddr;

use axum::http::HeaderValue;
use axum::http::header::GetAll;
use ipnet::IpNet;

/// The caller behind `peer`: the last address in the header (`X-Forwarded-For`) that is no trusted
/// proxy's. Each proxy adds at the end whom it spoke to; what stands before the first stranger is the
/// stranger's own word.
pub(super) fn behind(peer: IpAddr, header: GetAll<'_, HeaderValue>, trusted: &[IpNet]) -> IpAddr {
    let peer = peer.to_canonical();
    let is_trusted = |address: &IpAddr| trusted.iter().any(|network| network.contains(address));
    if !is_trusted(&peer) {
        return peer;
    }
    header
        .iter()
        .rev()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.rsplit(','))
        .map_while(|entry| entry.trim().parse::<IpAddr>().ok())
        .map(|address| address.to_canonical())
        .find(|address| !is_trusted(address))
        .unwrap_or(peer)
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::http::HeaderMap;

    fn caller(peer: &str, entries: &[&'static str]) -> String {
        let mut headers = HeaderMap::new();
        for entry in entries {
            headers.append("x-forwarded-for", HeaderValue::from_static(entry));
        }
        let trusted = ["10.0.0.0/8".parse().unwrap(), "::1/128".parse().unwrap()];
        let peer = peer.parse().unwrap();
        behind(peer, headers.get_all("x-forwarded-for"), &trusted).to_string()
    }

    #[test]
    fn a_stranger_s_header_is_not_believed() {
        assert_eq!(caller("192.0.2.1", &["198.51.100.7"]), "192.0.2.1");
        assert_eq!(caller("192.0.2.1", &[]), "192.0.2.1");
    }

    #[test]
    fn the_last_address_that_is_no_proxy_s_counts() {
        assert_eq!(caller("10.1.1.1", &["198.51.100.7"]), "198.51.100.7");
        // The first entry is what the caller wrote itself.
        assert_eq!(
            caller("10.1.1.1", &["203.0.113.9, 198.51.100.7"]),
            "198.51.100.7"
        );
        assert_eq!(
            caller("::1", &["203.0.113.9", "198.51.100.7, 10.2.2.2"]),
            "198.51.100.7"
        );
        // An address of version 4 written as one of version 6 is the same one.
        assert_eq!(caller("::ffff:10.1.1.1", &["198.51.100.7"]), "198.51.100.7");
        assert_eq!(caller("10.1.1.1", &["2001:db8::5"]), "2001:db8::5");
    }

    #[test]
    fn nonsense_leaves_the_peer() {
        for entries in [
            &["unknown"][..],
            &["198.51.100.7, unknown"],
            &["10.9.9.9"],
            &[""],
        ] {
            assert_eq!(caller("10.1.1.1", entries), "10.1.1.1", "{entries:?}");
        }
    }
}
