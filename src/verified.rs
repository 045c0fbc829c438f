//! Tokens whose signatures this worker has checked. A page sends its token with every request, and
//! checking it again costs more than all other checks together.
//!
//! Only that the signature is right is remembered, with the claims that it signs. Times, origins,
//! limits and owners are checked at every request.

use std::cell::RefCell;
use std::hash::{BuildHasher, RandomState};
use std::sync::Arc;

use aws_lc_rs::constant_time::verify_slices_are_equal;
use sidegate_core::clock::Timestamp;
use sidegate_core::dialect::Dialect;
use sidegate_core::secret::SecretDigest;
use sidegate_core::token::Claims;

use crate::registry::{Registered, Registry};

/// Places; a token has one, and a newer one takes it over.
const PLACES: usize = 4_096;

/// The longest token that is kept: 8 MiB in all at most, with typical ones 2 MiB.
const MAX_TOKEN: usize = 2 * 1024;

/// Bytes at the end of a token that choose its place: of its signature, as good as random.
const HASHED: usize = 32;

/// A worker's verified tokens.
pub struct VerifiedTokens {
    hasher: RandomState,
    places: RefCell<Vec<Option<Box<Verified>>>>,
}

/// A token that was verified with the keys of `registered`.
struct Verified {
    token: Box<str>,
    registered: Arc<Registered>,
    claims: Arc<Claims>,
    /// By it streams are held against what is revoked.
    digest: SecretDigest,
}

/// The app of a token, its claims, and its digest.
pub type Proven = (Arc<Registered>, Arc<Claims>, SecretDigest);

impl Default for VerifiedTokens {
    fn default() -> Self {
        let places = std::iter::repeat_with(|| None).take(PLACES).collect();
        Self { hasher: RandomState::new(), places: RefCell::new(places) }
    }
}

impl VerifiedTokens {
    /// The app and claims of a token that was verified before. The whole token is compared, in
    /// constant time, and the app with its keys must be the one that is registered now.
    #[must_use]
    pub fn get(&self, token: &str, dialect: Dialect, registry: &Registry) -> Option<Proven> {
        let places = self.places.borrow();
        let verified = places[self.place(token)].as_ref()?;
        let Verified { token: known, registered, claims, digest } = &**verified;
        let same = verify_slices_are_equal(known.as_bytes(), token.as_bytes()).is_ok();
        let current = same && registered.app.dialect == dialect && is_current(registered, registry);
        current.then(|| (Arc::clone(registered), Arc::clone(claims), digest.clone()))
    }

    /// Remembers a token that has just been verified with the keys of `registered`.
    pub fn put(&self, token: &str, registered: &Arc<Registered>, claims: &Arc<Claims>, digest: &SecretDigest) {
        if token.len() <= MAX_TOKEN {
            let (registered, claims) = (Arc::clone(registered), Arc::clone(claims));
            let verified = Verified { token: token.into(), registered, claims, digest: digest.clone() };
            self.places.borrow_mut()[self.place(token)] = Some(Box::new(verified));
        }
    }

    /// Forgets what has expired, and what was verified with keys that are no longer registered.
    pub fn sweep(&self, registry: &Registry, now: Timestamp) {
        for place in self.places.borrow_mut().iter_mut() {
            place.take_if(|verified| {
                now >= verified.claims.refused_from() || !is_current(&verified.registered, registry)
            });
        }
    }

    fn place(&self, token: &str) -> usize {
        let bytes = token.as_bytes();
        let hash = self.hasher.hash_one(&bytes[bytes.len().saturating_sub(HASHED)..]);
        usize::try_from(hash % PLACES as u64).unwrap_or_default()
    }
}

fn is_current(registered: &Arc<Registered>, registry: &Registry) -> bool {
    registry.app(registered.app.id.as_str()).is_some_and(|current| Arc::ptr_eq(current, registered))
}
