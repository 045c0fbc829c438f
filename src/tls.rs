//! TLS towards clients.

use std::path::Path;
use std::sync::Arc;

use aws_lc_rs::digest::{Context, SHA256};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::WebPkiClientVerifier;
use rustls::{RootCertStore, ServerConfig};
use zeroize::Zeroizing;

use crate::config::TlsFiles;

/// How a listener speaks TLS.
#[derive(Debug)]
pub struct ServerTls {
    /// For the next handshake.
    pub config: Arc<ServerConfig>,
    /// Of the files that it was made of.
    digest: [u8; 32],
}

/// What the files hold.
struct Contents {
    cert: Vec<u8>,
    key: Zeroizing<Vec<u8>>,
    client_ca: Option<Vec<u8>>,
}

impl ServerTls {
    /// Reads a server's certificate, key and client authority; offers HTTP/2 and HTTP/1.1. Goes on with `before` if all
    /// of them are as they were: its clients may resume their sessions.
    ///
    /// # Errors
    /// A message naming the file, never its content.
    pub fn read(files: &TlsFiles, before: Option<&Arc<Self>>) -> Result<Arc<Self>, String> {
        let contents = Contents::read(files)?;
        let digest = contents.digest();
        match before.filter(|before| before.digest == digest) {
            Some(same) => Ok(Arc::clone(same)),
            None => Ok(Arc::new(Self { config: Arc::new(contents.config(files)?), digest })),
        }
    }
}

impl Contents {
    fn read(files: &TlsFiles) -> Result<Self, String> {
        let client_ca = files.client_ca.as_deref().map(|path| read(path, "certificates")).transpose()?;
        let cert = read(&files.cert, "certificates")?;
        Ok(Self { cert, key: read(&files.key, "private key")?.into(), client_ca })
    }

    fn digest(&self) -> [u8; 32] {
        let mut context = Context::new(&SHA256);
        for part in [Some(&self.cert), Some(&*self.key), self.client_ca.as_ref()] {
            let length = part.map_or(u64::MAX, |part| part.len() as u64);
            context.update(&length.to_be_bytes());
            context.update(part.map_or(&[][..], Vec::as_slice));
        }
        let mut digest = [0; 32];
        digest.copy_from_slice(context.finish().as_ref());
        digest
    }

    fn config(&self, files: &TlsFiles) -> Result<ServerConfig, String> {
        let chain = certificates(&self.cert, &files.cert)?;
        let key = PrivateKeyDer::from_pem_slice(&self.key)
            .map_err(|fault| format!("{}: no private key: {fault}", files.key.display()))?;
        let builder = ServerConfig::builder();
        let builder = match self.client_ca.as_ref().zip(files.client_ca.as_ref()) {
            None => builder.with_no_client_auth(),
            Some((pem, path)) => {
                let mut roots = RootCertStore::empty();
                roots.add_parsable_certificates(certificates(pem, path)?);
                let verifier = WebPkiClientVerifier::builder(Arc::new(roots)).build();
                builder.with_client_cert_verifier(verifier.map_err(|fault| format!("{}: {fault}", path.display()))?)
            }
        };
        let mut config =
            builder.with_single_cert(chain, key).map_err(|fault| format!("{}: {fault}", files.cert.display()))?;
        config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        Ok(config)
    }
}

fn read(path: &Path, what: &str) -> Result<Vec<u8>, String> {
    std::fs::read(path).map_err(|fault| format!("{}: no {what}: {fault}", path.display()))
}

fn certificates(pem: &[u8], path: &Path) -> Result<Vec<CertificateDer<'static>>, String> {
    CertificateDer::pem_slice_iter(pem)
        .collect::<Result<_, _>>()
        .map_err(|fault| format!("{}: no certificates: {fault}", path.display()))
}
