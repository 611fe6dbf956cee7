//! Public keys of clients: a JWK Set by value, or fetched from the address a client registered.
//!
//! Fetching is where an attacker would make this server call others (SSRF): https only, no redirects,
//! no private addresses whatever a name resolves to, five seconds, 256 kB. Plain http on loopback is
//! allowed when the configuration says so, for tests and demonstrations.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use jsonwebtoken::Algorithm;
use jsonwebtoken::jwk::{AlgorithmParameters, EllipticCurve, Jwk, KeyAlgorithm, PublicKeyUse};
use moka::future::Cache;
use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use reqwest::header::ACCEPT;
use reqwest::redirect::Policy;
use serde_json::Value;
use thiserror::Error;
use url::{Host, Url};

const MOST_BYTES: usize = 256 * 1024;
const MOST_KEYS: usize = 100;

/// Why keys cannot be had.
#[derive(Clone, Debug, Error)]
pub enum JwksError {
    #[error("it is not a JWK Set: JSON with a list \"keys\"")]
    Malformed,
    #[error("it holds no RSA key (RS384) of 2048 bits or more and no P-384 key (ES384)")]
    NoUsableKey,
    #[error("it holds a private key: make a new pair, and give the public half")]
    PrivateKey,
    #[error("its address must be https and public")]
    Address,
    #[error("it could not be fetched: {0}")]
    Fetch(String),
}

/// A client's usable keys.
#[derive(Clone, Debug)]
pub struct KeySet(Vec<Jwk>);

impl KeySet {
    /// Parses a JWK Set, keeping the keys that can verify RS384 or ES384.
    pub fn parse(json: &[u8]) -> Result<Self, JwksError> {
        let set: Value = serde_json::from_slice(json).map_err(|_| JwksError::Malformed)?;
        let keys = set
            .get("keys")
            .and_then(Value::as_array)
            .ok_or(JwksError::Malformed)?;
        if keys
            .iter()
            .any(|key| key.get("d").is_some() || key.get("k").is_some())
        {
            return Err(JwksError::PrivateKey);
        }
        let usable: Vec<Jwk> = keys
            .iter()
            .take(MOST_KEYS)
            .filter_map(|key| serde_json::from_value(key.clone()).ok())
            .filter(|key| {
                [Algorithm::RS384, Algorithm::ES384]
                    .iter()
                    .any(|alg| fits(key, *alg))
            })
            .collect();
        if usable.is_empty() {
            return Err(JwksError::NoUsableKey);
        }
        Ok(Self(usable))
    }

    /// The keys that may have signed: by `kid` when the header names one, and by algorithm.
    pub fn candidates<'a>(
        &'a self,
        kid: Option<&'a str>,
        alg: Algorithm,
    ) -> impl Iterator<Item = &'a Jwk> {
        self.0.iter().filter(move |key| {
            fits(key, alg) && (kid.is_none() || key.common.key_id.as_deref() == kid)
        })
    }
}

fn fits(key: &Jwk, alg: Algorithm) -> bool {
    if matches!(key.common.public_key_use, Some(PublicKeyUse::Encryption)) {
        return false;
    }
    let (stated, right_kind) = match (&key.algorithm, alg) {
        // 2048 bits are 342 characters of base64url.
        (AlgorithmParameters::RSA(rsa), Algorithm::RS384) => {
            (KeyAlgorithm::RS384, (342..=1400).contains(&rsa.n.len()))
        }
        (AlgorithmParameters::EllipticCurve(ec), Algorithm::ES384) => {
            (KeyAlgorithm::ES384, ec.curve == EllipticCurve::P384)
        }
        _ => return false,
    };
    right_kind && key.common.key_algorithm.is_none_or(|own| own == stated)
}

/// Fetches and remembers key sets.
#[derive(Clone)]
pub struct KeyFetcher {
    client: reqwest::Client,
    allow_loopback: bool,
    /// By URL, for five minutes; what failed is remembered for as long, so that bad assertions
    /// cannot make this server hammer another.
    cache: Cache<String, Result<Arc<KeySet>, JwksError>>,
    /// URLs fetched again because a kid was unknown, for half a minute.
    again: Cache<String, ()>,
}

impl std::fmt::Debug for KeyFetcher {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("KeyFetcher")
    }
}

impl KeyFetcher {
    /// A fetcher; with `allow_loopback` it also fetches `http://127.0.0.1`, `[::1]` and `localhost`.
    pub fn new(allow_loopback: bool) -> Result<Self, JwksError> {
        let client = reqwest::Client::builder()
            .redirect(Policy::none())
            .no_proxy()
            .timeout(Duration::from_secs(5))
            .connect_timeout(Duration::from_secs(3))
            .dns_resolver(Arc::new(PublicOnly { allow_loopback }))
            .user_agent(concat!("candor/", env!("CARGO_PKG_VERSION")))
            .build()
            .map_err(|error| JwksError::Fetch(error.to_string()))?;
        let cache = |seconds| {
            Cache::builder()
                .max_capacity(1000)
                .time_to_live(Duration::from_secs(seconds))
        };
        Ok(Self {
            client,
            allow_loopback,
            cache: cache(300).build(),
            again: Cache::builder()
                .max_capacity(1000)
                .time_to_live(Duration::from_secs(30))
                .build(),
        })
    }

    /// The key set at a URL. When the remembered one has no such `kid`, it is fetched again, at most
    /// once in half a minute: that is how clients change keys.
    pub async fn get(&self, url: &str, kid: Option<&str>) -> Result<Arc<KeySet>, JwksError> {
        let entry = self
            .cache
            .entry(url.to_owned())
            .or_insert_with(self.fetch_to_remember(url))
            .await;
        let is_fresh = entry.is_fresh();
        let known = entry.into_value();
        if is_fresh {
            // A site that does not answer is not asked twice at once.
            if known.is_err() {
                self.again.insert(url.to_owned(), ()).await;
            }
            return known;
        }
        let has_kid = |set: &KeySet| {
            kid.is_none_or(|kid| {
                set.0
                    .iter()
                    .any(|key| key.common.key_id.as_deref() == Some(kid))
            })
        };
        if known.as_ref().is_ok_and(|set| has_kid(set)) || self.again.contains_key(url) {
            return known;
        }
        self.again.insert(url.to_owned(), ()).await;
        let fresh = self.fetch_to_remember(url).await;
        self.cache.insert(url.to_owned(), fresh.clone()).await;
        fresh
    }

    async fn fetch_to_remember(&self, url: &str) -> Result<Arc<KeySet>, JwksError> {
        self.fetch(url).await.map(Arc::new)
    }

    async fn fetch(&self, url: &str) -> Result<KeySet, JwksError> {
        let url = Url::parse(url).map_err(|_| JwksError::Address)?;
        // reqwest asks the resolver about names only: addresses are looked at here.
        let is_loopback = match url.host() {
            Some(Host::Ipv4(address)) => self.check(IpAddr::V4(address))?,
            Some(Host::Ipv6(address)) => self.check(IpAddr::V6(address))?,
            Some(Host::Domain(name)) => name == "localhost",
            None => return Err(JwksError::Address),
        };
        match url.scheme() {
            "https" => {}
            "http" if is_loopback && self.allow_loopback => {}
            _ => return Err(JwksError::Address),
        }
        let failed = |error: reqwest::Error| JwksError::Fetch(error.without_url().to_string());
        let mut response = self
            .client
            .get(url)
            .header(ACCEPT, "application/json")
            .send()
            .await
            .map_err(failed)?;
        if response.status() != reqwest::StatusCode::OK {
            return Err(JwksError::Fetch(format!("status {}", response.status())));
        }
        let mut body = Vec::new();
        while let Some(chunk) = response.chunk().await.map_err(failed)? {
            if body.len() + chunk.len() > MOST_BYTES {
                return Err(JwksError::Fetch("it is too large".to_owned()));
            }
            body.extend_from_slice(&chunk);
        }
        KeySet::parse(&body)
    }

    /// Whether the address is loopback; an error when it may not be called.
    fn check(&self, address: IpAddr) -> Result<bool, JwksError> {
        if is_callable(address, self.allow_loopback) {
            Ok(address.is_loopback())
        } else {
            Err(JwksError::Address)
        }
    }
}

/// A resolver that knows public addresses only.
struct PublicOnly {
    allow_loopback: bool,
}

impl Resolve for PublicOnly {
    fn resolve(&self, name: Name) -> Resolving {
        let allow_loopback = self.allow_loopback;
        Box::pin(async move {
            let found: Vec<SocketAddr> = tokio::net::lookup_host((name.as_str(), 0))
                .await?
                .filter(|address| is_callable(address.ip(), allow_loopback))
                .collect();
            if found.is_empty() {
                return Err("the name has no public address".into());
            }
            let addresses: Addrs = Box::new(found.into_iter());
            Ok(addresses)
        })
    }
}

/// Whether a server of ours may call this address for a stranger.
fn is_callable(address: IpAddr, allow_loopback: bool) -> bool {
    match address {
        IpAddr::V4(four) => is_public_v4(four) || (allow_loopback && four.is_loopback()),
        IpAddr::V6(six) => match six.to_ipv4_mapped() {
            Some(four) => is_public_v4(four),
            None => is_public_v6(six) || (allow_loopback && six.is_loopback()),
        },
    }
}

/// Outside the blocks of RFC 6890.
fn is_public_v4(address: Ipv4Addr) -> bool {
    let [a, b, c, _] = address.octets();
    !(a == 0
        || a == 10
        || a == 127
        || a >= 224
        || (a == 100 && (64..128).contains(&b))
        || (a == 169 && b == 254)
        || (a == 172 && (16..32).contains(&b))
        || (a == 192 && b == 168)
        || (a == 192 && b == 0 && (c == 0 || c == 2))
        || (a == 192 && b == 88 && c == 99)
        || (a == 198 && (b == 18 || b == 19))
        || (a == 198 && b == 51 && c == 100)
        || (a == 203 && b == 0 && c == 113))
}

/// Inside 2000::/3, without tunnels to somewhere else (Teredo, 6to4) and documentation.
fn is_public_v6(address: Ipv6Addr) -> bool {
    let [a, b, ..] = address.segments();
    a & 0xe000 == 0x2000
        && !(a == 0x2001 && b < 0x0200)
        && !(a == 0x2001 && b == 0x0db8)
        && a != 0x2002
        && !(a == 0x3fff && b < 0x1000)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn private_addresses_are_not_called() {
        for bad in [
            "127.0.0.1",
            "10.1.2.3",
            "192.168.0.1",
            "172.16.0.1",
            "169.254.169.254",
            "0.0.0.0",
            "100.64.0.1",
            "224.0.0.1",
            "255.255.255.255",
            "198.18.0.1",
            "::1",
            "::",
            "fe80::1",
            "fc00::1",
            "fd00:ec2::254",
            "::ffff:127.0.0.1",
            "::ffff:10.0.0.1",
            "64:ff9b::a00:1",
            "2002:a00:1::",
            "2001::1",
            "ff02::1",
        ] {
            assert!(!is_callable(bad.parse().unwrap(), false), "{bad}");
        }
        for good in ["8.8.8.8", "172.32.0.1", "2606:4700::1111", "::ffff:8.8.8.8"] {
            assert!(is_callable(good.parse().unwrap(), false), "{good}");
        }
        assert!(is_callable("127.0.0.1".parse().unwrap(), true));
        assert!(!is_callable("10.0.0.1".parse().unwrap(), true));
    }

    #[tokio::test]
    async fn addresses_that_are_refused_before_any_call() {
        let fetcher = KeyFetcher::new(false).unwrap();
        for bad in [
            "http://app.example/jwks",
            "https://127.0.0.1/jwks",
            "https://[::1]/jwks",
            "https://0x7f000001/jwks",
            "https://2130706433/jwks",
            "file:///etc/passwd",
            "http://127.0.0.1/jwks",
        ] {
            let refused = fetcher.get(bad, None).await;
            assert!(
                matches!(refused, Err(JwksError::Address)),
                "{bad}: {refused:?}"
            );
        }
        let refused = fetcher.get("https://localhost/jwks", None).await;
        assert!(matches!(refused, Err(JwksError::Fetch(_))), "{refused:?}");
    }

    #[test]
    fn private_keys_and_strangers_are_refused() {
        assert!(matches!(KeySet::parse(b"[]"), Err(JwksError::Malformed)));
        assert!(matches!(
            KeySet::parse(br#"{"keys":[]}"#),
            Err(JwksError::NoUsableKey)
        ));
        assert!(matches!(
            KeySet::parse(br#"{"keys":[{"kty":"oct","k":"AAAA"}]}"#),
            Err(JwksError::PrivateKey)
        ));
    }
}
