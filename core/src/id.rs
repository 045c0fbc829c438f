//! Identifiers, checked once where they enter: an app, an end user, a token, a conversation.

use std::fmt;
use std::sync::Arc;

use crate::clock::Timestamp;
use crate::entropy::{self, Entropy, EntropyUnavailable};

/// Why a text is not an identifier. Says the rule, never the text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct InvalidId(&'static str);

impl fmt::Display for InvalidId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0)
    }
}

impl std::error::Error for InvalidId {}

macro_rules! id {
    ($(#[$doc:meta])* $name:ident, $rule:literal, $valid:expr) => {
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub struct $name(Arc<str>);

        impl $name {
            /// Checks `text` against the rule of this kind of identifier.
            ///
            /// # Errors
            /// [`InvalidId`], with the rule.
            pub fn parse(text: &str) -> Result<Self, InvalidId> {
                let valid: fn(&str) -> bool = $valid;
                if valid(text) { Ok(Self(text.into())) } else { Err(InvalidId($rule)) }
            }

            /// The identifier as text.
            #[must_use]
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl std::borrow::Borrow<str> for $name {
            fn borrow(&self) -> &str {
                &self.0
            }
        }

        impl serde::Serialize for $name {
            fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.serialize_str(&self.0)
            }
        }

        impl<'de> serde::Deserialize<'de> for $name {
            fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let text = std::borrow::Cow::<'de, str>::deserialize(deserializer)?;
                Self::parse(&text).map_err(serde::de::Error::custom)
            }
        }

        impl std::str::FromStr for $name {
            type Err = InvalidId;
            fn from_str(text: &str) -> Result<Self, InvalidId> {
                Self::parse(text)
            }
        }
    };
}

id! {
    /// An app's public id, such as `wapp_a1b2c3d4e5f6`.
    #[derive(Debug)]
    AppId, "must be 1 to 64 letters, digits, '_' or '-'", |text| {
        (1..=64).contains(&text.len()) && text.bytes().all(is_word)
    }
}

impl AppId {
    /// A random id: `wapp_` and 48 random bits in hexadecimal.
    ///
    /// # Errors
    /// [`EntropyUnavailable`].
    pub fn new(entropy: &dyn Entropy) -> Result<Self, EntropyUnavailable> {
        Ok(Self(format!("wapp_{}", entropy::hex(&entropy::bytes::<6>(entropy)?)).into()))
    }

    /// A random id of a bot as Chat9 makes them: `ch_` and 18 letters and digits.
    ///
    /// # Errors
    /// [`EntropyUnavailable`].
    pub fn new_bot(entropy: &dyn Entropy) -> Result<Self, EntropyUnavailable> {
        const ALPHABET: &[u8; 36] = b"abcdefghijklmnopqrstuvwxyz0123456789";
        let random = entropy::bytes::<18>(entropy)?;
        // That some letters are a little likelier is no matter: the id is public.
        let letters = random.iter().map(|byte| char::from(ALPHABET[usize::from(*byte) % ALPHABET.len()]));
        Ok(Self(std::iter::once("ch_".to_owned()).chain(letters.map(String::from)).collect::<String>().into()))
    }
}

id! {
    /// The customer's own identifier of an end user (`sub`, the vendor's `endUserId`).
    #[derive(Debug)]
    EndUserId, "must be 1 to 256 bytes without control characters", |text| {
        (1..=256).contains(&text.len()) && !text.chars().any(char::is_control)
    }
}

impl EndUserId {
    /// Somebody whom nobody knows: `anon-` and 128 random bits.
    ///
    /// # Errors
    /// [`EntropyUnavailable`].
    pub fn anonymous(entropy: &dyn Entropy) -> Result<Self, EntropyUnavailable> {
        Ok(Self(format!("anon-{}", entropy::hex(&entropy::bytes::<16>(entropy)?)).into()))
    }
}

id! {
    /// A token's unique id (`jti`, RFC 7519 section 4.1.7).
    #[derive(Debug)]
    TokenId, "must be 1 to 64 letters, digits, '_' or '-'", |text| {
        (1..=64).contains(&text.len()) && text.bytes().all(is_word)
    }
}

impl TokenId {
    /// A fresh id: 48 bits of milliseconds and 80 random bits, in hexadecimal. As in a UUID of version 7
    /// (RFC 9562 section 5.7), time comes first: a store then adds at the end of its index, not all over it.
    ///
    /// # Errors
    /// [`EntropyUnavailable`].
    pub fn new(entropy: &dyn Entropy, now: Timestamp) -> Result<Self, EntropyUnavailable> {
        let mut bytes = entropy::bytes::<16>(entropy)?;
        bytes[..6].copy_from_slice(&now.millis().to_be_bytes()[2..]);
        Ok(Self(entropy::hex(&bytes).into()))
    }
}

id! {
    /// A chat session's id: a UUID of version 4 in lower case (RFC 9562 section 5.4).
    SessionId, "must be a UUID of version 4 in lower case", |text| {
        let digit = |byte: u8| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte);
        text.len() == 36
            && text.bytes().enumerate().all(|(index, byte)| match index {
                8 | 13 | 18 | 23 => byte == b'-',
                14 => byte == b'4',
                19 => matches!(byte, b'8' | b'9' | b'a' | b'b'),
                _ => digit(byte),
            })
    }
}

/// Who reads an id in a log could use its session.
impl fmt::Debug for SessionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SessionId(…)")
    }
}

id! {
    /// What a store knows a chat session by: it must not hold what opens one.
    #[derive(Debug)]
    SessionDigest, "must be 64 hexadecimal digits in lower case", |text| {
        text.len() == 64 && text.bytes().all(|byte| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte))
    }
}

impl SessionId {
    /// Its SHA-256. The id is as good as random, so nobody finds it from that.
    #[must_use]
    pub fn digest(&self) -> SessionDigest {
        let digest = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, self.0.as_bytes());
        SessionDigest(entropy::hex(digest.as_ref()).into())
    }

    /// A fresh id: 122 random bits. Who knows it may use the session, so it tells nothing else.
    ///
    /// # Errors
    /// [`EntropyUnavailable`].
    pub fn new(entropy: &dyn Entropy) -> Result<Self, EntropyUnavailable> {
        let mut bytes = entropy::bytes::<16>(entropy)?;
        bytes[6] = (bytes[6] & 0x0f) | 0x40;
        bytes[8] = (bytes[8] & 0x3f) | 0x80;
        let mut text = entropy::hex(&bytes);
        for place in [8, 13, 18, 23] {
            text.insert(place, '-');
        }
        Ok(Self(text.into()))
    }
}

id! {
    /// A service token's name, such as `billing-server`.
    #[derive(Debug)]
    ServiceTokenId, "must be 1 to 64 letters, digits, '_' or '-'", |text| {
        (1..=64).contains(&text.len()) && text.bytes().all(is_word)
    }
}

impl ServiceTokenId {
    /// A random name: `st_` and 96 random bits in hexadecimal.
    ///
    /// # Errors
    /// [`EntropyUnavailable`].
    pub fn new(entropy: &dyn Entropy) -> Result<Self, EntropyUnavailable> {
        Ok(Self(format!("st_{}", entropy::hex(&entropy::bytes::<12>(entropy)?)).into()))
    }
}

id! {
    /// A workspace's id at the upstream (Orcheo).
    #[derive(Debug)]
    WorkspaceId, "must be 1 to 64 letters, digits, '_' or '-'", |text| {
        (1..=64).contains(&text.len()) && text.bytes().all(is_word)
    }
}

id! {
    /// A conversation's id as it stands in paths (Sigmic says task id). Plain characters only, so
    /// that no encoding or dot segment can make one path look like another.
    #[derive(Debug)]
    ConversationId, "must be 1 to 128 letters, digits, '_', '-' or '.', not all dots", |text| {
        (1..=128).contains(&text.len())
            && text.bytes().all(|byte| is_word(byte) || byte == b'.')
            && text.bytes().any(|byte| byte != b'.')
    }
}

id! {
    /// The id of a widget, or of a blueprint for widgets (ChatBotKit).
    #[derive(Debug)]
    ObjectId, "must be 1 to 64 letters, digits, '_' or '-'", |text| {
        (1..=64).contains(&text.len()) && text.bytes().all(is_word)
    }
}

impl ObjectId {
    /// A fresh id, of the vendor's shape: `c`, then time and chance in base 36. The text's order is that of the time.
    ///
    /// # Errors
    /// [`EntropyUnavailable`].
    pub fn new(now: Timestamp, entropy: &dyn Entropy) -> Result<Self, EntropyUnavailable> {
        // 82 bits of the 128: what is left over makes no digit likelier that anybody could tell.
        let random = u128::from_be_bytes(entropy::bytes::<16>(entropy)?);
        Ok(Self(format!("c{}{}", base36::<8>(now.millis().into()), base36::<16>(random)).into()))
    }
}

/// The last `N` digits of `number` in base 36; of a moment after May 2059, which has more than eight, the ninth is lost.
fn base36<const N: usize>(mut number: u128) -> String {
    const DIGITS: &[u8; 36] = b"0123456789abcdefghijklmnopqrstuvwxyz";
    let mut digits = ['0'; N];
    for digit in digits.iter_mut().rev() {
        let place = usize::try_from(number % 36).unwrap_or_default();
        *digit = char::from(DIGITS[place]);
        number /= 36;
    }
    digits.iter().collect()
}

id! {
    /// The id of a file that a widget shows (ChatBotKit).
    #[derive(Debug)]
    FileId, "must be 1 to 64 letters, digits, '_' or '-'", |text| {
        (1..=64).contains(&text.len()) && text.bytes().all(is_word)
    }
}

const fn is_word(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'-'
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_conversation_id_cannot_be_a_path_trick() {
        for bad in ["", ".", "..", "a/b", "a%2fb", "a b", "a\0", "é", &"x".repeat(129)] {
            assert!(ConversationId::parse(bad).is_err(), "{bad:?}");
        }
        for good in ["task_1", "1.2", "01HZY-ab", &"x".repeat(128)] {
            assert!(ConversationId::parse(good).is_ok(), "{good:?}");
        }
    }

    #[test]
    fn objects_are_in_the_order_in_which_they_were_made() {
        struct Ones(u8);
        impl Entropy for Ones {
            fn fill(&self, bytes: &mut [u8]) -> Result<(), EntropyUnavailable> {
                bytes.fill(self.0);
                Ok(())
            }
        }
        let id = |millis, random| ObjectId::new(Timestamp::from_millis(millis), &Ones(random)).expect("an id");
        assert_eq!(id(0, 0).as_str(), "c000000000000000000000000");
        assert_eq!(id(35, 0).as_str(), "c0000000z0000000000000000");
        assert!(id(1_769_860_800_000, 0xff) < id(1_769_860_800_001, 0));
        assert_ne!(id(1, 1), id(1, 2));
        let made = id(1_769_860_800_000, 0xa7);
        assert_eq!((made.as_str().len(), ObjectId::parse(made.as_str())), (25, Ok(made.clone())));
        for bad in ["", "a/b", "..", "a b", "%2e", &"x".repeat(65)] {
            assert!(ObjectId::parse(bad).is_err() && FileId::parse(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn an_end_user_may_be_any_text_without_control_characters() {
        assert!(EndUserId::parse("user@example.com").is_ok());
        assert!(EndUserId::parse("Zoë 7").is_ok());
        for bad in ["", "a\nb", "a\u{7f}", "a\u{85}b", &"x".repeat(257)] {
            assert!(EndUserId::parse(bad).is_err(), "{bad:?}");
        }
    }
}
