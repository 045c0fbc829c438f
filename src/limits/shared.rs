//! Limits that a store counts for all replicas together.

use sidegate_core::denial::{Code, Denial};

use super::{Counted, Limit};
use crate::config::LimitsOnError;
use crate::store::{Counter, Counters, Full, Unavailable};

impl Limit {
    pub(super) async fn check_shared(
        &self,
        counters: &dyn Counters,
        on_error: LimitsOnError,
        counted: Counted<'_>,
    ) -> Result<(), Denial> {
        let counter = |whose, rate| Counter { app: &self.app, limit: self.name, whose, rate };
        let asked: Vec<_> = self.counting.iter().map(|one| counter(one.whose(counted), one.rate)).collect();
        match counters.count(&asked).await {
            Ok(None) => Ok(()),
            Ok(Some(Full { which, wait })) => {
                Err(self.counting.get(which).map_or(Code::Internal.into(), |full| full.denial(counted, wait)))
            }
            Err(Unavailable) => match on_error {
                LimitsOnError::Deny => Err(Code::StoreUnavailable.into()),
                LimitsOnError::Local => self.check_here(counted),
                LimitsOnError::Allow => Ok(()),
            },
        }
    }
}
