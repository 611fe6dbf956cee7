//! `[tls]`: encryption by the server itself, and whose word about callers counts.

use std::net::IpAddr;
use std::path::PathBuf;

use ipnet::IpNet;
use serde::{Deserialize, Serialize};

/// Certificate and key. Both or neither: without them TLS ends at a proxy.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Tls {
    /// PEM file of the certificate, its chain behind it.
    pub certificate: Option<PathBuf>,
    /// PEM file of its private key.
    pub key: Option<PathBuf>,
}

impl Tls {
    /// Both files, where TLS ends here.
    #[must_use]
    pub fn files(&self) -> Option<(&PathBuf, &PathBuf)> {
        self.certificate.as_ref().zip(self.key.as_ref())
    }

    pub(super) fn check(&self, problems: &mut Vec<String>) {
        if self.certificate.is_some() != self.key.is_some() {
            problems.push(
                "tls: certificate and key go together, each a PEM file; leave both out where TLS ends at a proxy.".to_owned(),
            );
        }
    }
}

/// A network in CIDR notation, or one address.
#[must_use]
pub fn network(text: &str) -> Option<IpNet> {
    let text = text.trim();
    text.parse()
        .ok()
        .or_else(|| text.parse::<IpAddr>().ok().map(IpNet::from))
}
