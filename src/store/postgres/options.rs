//! From settings to what the driver is told. It begins with what the environment says (`PGHOST` and the
//! like), so every field is set here; `config` refuses the variables of those that cannot be.

use std::path::Path;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use rustls::RootCertStore;
use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject as _;
use secrecy::ExposeSecret;
use sqlx::ConnectOptions as _;
use sqlx::postgres::{PgConnectOptions, PgSslMode};

use crate::config::PostgresSettings;

/// Never print the result: its `Debug` shows the password.
pub(super) fn options(settings: &PostgresSettings) -> Result<PgConnectOptions, String> {
    let at = &settings.address;
    // Of the driver's other modes none verifies both certificate and name; `Require` verifies nothing.
    let mode = if settings.tls { PgSslMode::VerifyFull } else { PgSslMode::Disable };
    // An empty password is refused where one is wanted, like none.
    let password = settings.password.as_ref().map(ExposeSecret::expose_secret).unwrap_or_default();
    Ok(PgConnectOptions::new_without_pgpass()
        .host(&at.host)
        .port(at.port)
        .database(&at.database)
        .username(&settings.username)
        .password(password)
        .ssl_mode(mode)
        .ssl_root_cert_from_pem(authorities(settings)?)
        .application_name("sidegate")
        // A parameter that poolers refuse; no number here has a fraction.
        .extra_float_digits(None)
        .disable_statement_logging())
}

/// Who may sign the server's certificate, PEM. The driver takes those that Mozilla lists, too.
fn authorities(settings: &PostgresSettings) -> Result<Vec<u8>, String> {
    match &settings.ca {
        _ if !settings.tls => Ok(Vec::new()),
        Some(path) => own(path).map_err(|reason| format!("store.postgres.ca: {}: {reason}", path.display())),
        None => Ok(of_the_system()),
    }
}

fn own(path: &Path) -> Result<Vec<u8>, String> {
    let pem = std::fs::read(path).map_err(|fault| fault.to_string())?;
    let certificates = CertificateDer::pem_slice_iter(&pem).collect::<Result<Vec<_>, _>>();
    match certificates.map_err(|fault| fault.to_string())? {
        none if none.is_empty() => Err("holds no certificate".to_owned()),
        certificates => certificates.iter().try_for_each(check).map(|()| pem),
    }
}

fn check(certificate: &CertificateDer<'_>) -> Result<(), String> {
    RootCertStore::empty().add(certificate.clone()).map_err(|fault| fault.to_string())
}

/// The driver fails at the first certificate that it cannot read, and a system may well have one.
fn of_the_system() -> Vec<u8> {
    let certificates = rustls_native_certs::load_native_certs().certs;
    certificates.iter().filter(|certificate| check(certificate).is_ok()).flat_map(|der| pem(der)).collect()
}

fn pem(der: &[u8]) -> Vec<u8> {
    format!("-----BEGIN CERTIFICATE-----\n{}\n-----END CERTIFICATE-----\n", STANDARD.encode(der)).into_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_as_pem_is_read_again() {
        let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).expect("a certificate");
        let twice = [pem(made.cert.der()), pem(made.cert.der())].concat();
        let read = CertificateDer::pem_slice_iter(&twice).collect::<Result<Vec<_>, _>>().expect("certificates");
        assert_eq!(read, [made.cert.der().clone(), made.cert.der().clone()]);
    }
}
