//! What went wrong, in words that are safe to print: none of them repeats a value or the password.

use sqlx::Error;
use sqlx::migrate::MigrateError;

// <https://www.postgresql.org/docs/current/errcodes-appendix.html>
/// The role or its password is refused.
pub(super) const WRONG_PASSWORD: &str = "28P01";
/// The server's rules refuse this role from here.
pub(super) const NO_LOGIN: &str = "28000";
/// A right is missing.
pub(super) const NOT_ALLOWED: &str = "42501";

/// The SQLSTATE, if the server has answered.
pub(super) fn code(fault: &Error) -> Option<String> {
    if let Error::Migrate(fault) = fault
        && let MigrateError::Execute(inner) | MigrateError::ExecuteMigration(inner, _) = &**fault
    {
        return code(inner);
    }
    Some(fault.as_database_error()?.code()?.into_owned())
}

/// What TLS says, if it is what failed.
pub(super) fn of_tls(fault: &Error) -> Option<String> {
    match fault {
        Error::Tls(reason) => Some(reason.to_string()),
        Error::Io(fault) => Some(fault.get_ref()?.downcast_ref::<rustls::Error>()?.to_string()),
        _ => None,
    }
}

/// A fault in words.
pub(super) fn explain(fault: &Error) -> String {
    match fault {
        Error::Database(said) => match said.code() {
            Some(code) => format!("{} ({code})", said.message()),
            None => said.message().to_owned(),
        },
        Error::Io(fault) => fault.to_string(),
        Error::PoolTimedOut => "no connection in time".to_owned(),
        Error::Migrate(fault) => match &**fault {
            MigrateError::Execute(inner) | MigrateError::ExecuteMigration(inner, _) => explain(inner),
            fault => fault.to_string(),
        },
        fault => fault.to_string(),
    }
}
