//! Limits that a store counts for all replicas together.

use sidegate_core::denial::{Code, Denial};

use super::{Counted, Limit};
use crate::config::LimitsOnError;
use crate::store::{Counter, Counters, Unavailable};

impl Limit {
    pub(super) async fn check_shared(
        &self,
        counters: &dyn Counters,
        on_error: LimitsOnError,
        counted: Counted<'_>,
    ) -> Result<(), Denial> {
        let whose = self.whose(counted);
        match counters.count(Counter { app: &self.app, limit: self.name, whose }, self.rate).await {
            Ok(None) => Ok(()),
            Ok(Some(wait)) => Err(Denial::retry(Code::RateLimited, wait)),
            Err(Unavailable) => match on_error {
                LimitsOnError::Deny => Err(Code::StoreUnavailable.into()),
                LimitsOnError::Local => self.local.check(whose),
                LimitsOnError::Allow => Ok(()),
            },
        }
    }
}
