//! Limits that a store counts for all replicas together.

use sidegate_core::denial::{Code, Denial};

use super::{Counted, Limit};
use crate::config::LimitsOnError;
use crate::store::{Counter, Counters, Full, Left, Unavailable};

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
            Ok(Ok(Left { which, left, wait })) => {
                self.tell(counted, self.counting.get(which).map(|nearest| nearest.standing(left, wait)));
                Ok(())
            }
            Ok(Err(Full { which, wait })) => {
                let full = self.counting.get(which);
                Err(full.map_or(Code::Internal.into(), |full| self.refusal(full, counted, wait)))
            }
            Err(Unavailable) => match on_error {
                LimitsOnError::Deny => Err(Code::StoreUnavailable.into()),
                LimitsOnError::Local => self.check_here(counted),
                LimitsOnError::Allow => Ok(()),
            },
        }
    }
}
