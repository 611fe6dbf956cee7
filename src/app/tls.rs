//! TLS by the server itself: versions 1.2 and 1.3, and a certificate that is read again when its files
//! change, so that a renewal needs no restart.

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use anyhow::{Context as _, bail};
use arc_swap::ArcSwap;
use rustls::ServerConfig;
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use tokio_rustls::TlsAcceptor;

/// How often the files are looked at.
const LOOK: Duration = Duration::from_secs(2);

/// The certificate in use and where it comes from.
pub(super) struct Certificate {
    certificate: PathBuf,
    key: PathBuf,
    now: ArcSwap<CertifiedKey>,
}

impl fmt::Debug for Certificate {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Certificate")
            .field("certificate", &self.certificate)
            .finish_non_exhaustive()
    }
}

impl ResolvesServerCert for Certificate {
    fn resolve(&self, _hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(self.now.load_full())
    }
}

impl Certificate {
    /// Reads both files.
    ///
    /// # Errors
    /// When a file cannot be read, holds no PEM, or the key is not the certificate's.
    pub(super) fn read(certificate: &Path, key: &Path) -> anyhow::Result<Arc<Self>> {
        let pair = read(certificate, key)?;
        Ok(Arc::new(Self {
            certificate: certificate.to_owned(),
            key: key.to_owned(),
            now: ArcSwap::from_pointee(pair),
        }))
    }

    /// What turns connections into encrypted ones.
    ///
    /// # Errors
    /// When the library offers neither version.
    pub(super) fn acceptor(self: &Arc<Self>) -> anyhow::Result<TlsAcceptor> {
        let mut config =
            ServerConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
                .with_protocol_versions(&[&rustls::version::TLS13, &rustls::version::TLS12])?
                .with_no_client_auth()
                .with_cert_resolver(self.clone());
        config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        Ok(TlsAcceptor::from(Arc::new(config)))
    }

    /// Reads the files again whenever they changed, until it is aborted. A pair that does not fit
    /// (one of the two files was written just now) is looked at again; the old one serves meanwhile.
    pub(super) async fn follow(self: Arc<Self>) {
        let mut ticks = tokio::time::interval(LOOK);
        let mut seen = self.changed();
        loop {
            ticks.tick().await;
            let changed = self.changed();
            if changed == seen {
                continue;
            }
            match read(&self.certificate, &self.key) {
                Ok(pair) => {
                    self.now.store(Arc::new(pair));
                    seen = changed;
                    tracing::info!("the TLS certificate was read again");
                }
                Err(error) => {
                    tracing::warn!(
                        error = format!("{error:#}"),
                        "the changed TLS certificate cannot be used, the old one stays"
                    );
                }
            }
        }
    }

    fn changed(&self) -> [Option<SystemTime>; 2] {
        [&self.certificate, &self.key].map(|path| {
            std::fs::metadata(path)
                .and_then(|file| file.modified())
                .ok()
        })
    }
}

fn read(certificate: &Path, key: &Path) -> anyhow::Result<CertifiedKey> {
    let unreadable = |path: &Path| format!("{} (tls) cannot be read as PEM", path.display());
    let chain = CertificateDer::pem_file_iter(certificate)
        .and_then(Iterator::collect::<Result<Vec<_>, _>>)
        .with_context(|| unreadable(certificate))?;
    if chain.is_empty() {
        bail!(
            "{} (tls.certificate) holds no certificate",
            certificate.display()
        );
    }
    let secret = PrivateKeyDer::from_pem_file(key).with_context(|| unreadable(key))?;
    CertifiedKey::from_der(chain, secret, &aws_lc_rs::default_provider()).with_context(|| {
        format!(
            "the key {} (tls.key) is not that of the certificate {}",
            key.display(),
            certificate.display()
        )
    })
}
