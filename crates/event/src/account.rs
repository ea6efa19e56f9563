//! The 12-digit id of an AWS account.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

/// A 12-digit account id; leading zeroes belong to it.
///
/// One that exists is valid: the only way to make one is to parse it.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct AccountId(u64);

/// A text that is no account id.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("an account id is 12 digits")]
pub struct InvalidAccountId;

impl AccountId {
    /// `000000000000`: the partition of records whose account cannot be told.
    pub const UNKNOWN: Self = Self(0);

    /// The id as a number of at most 12 digits.
    #[must_use]
    pub fn number(self) -> u64 {
        self.0
    }

    /// The account id that `text` is, if it is exactly 12 ASCII digits.
    #[must_use]
    pub fn from_bytes(text: &[u8]) -> Option<Self> {
        if text.len() != 12 {
            return None;
        }
        text.iter()
            .try_fold(0, |id, byte| byte.is_ascii_digit().then(|| id * 10 + u64::from(byte - b'0')))
            .map(Self)
    }
}

impl FromStr for AccountId {
    type Err = InvalidAccountId;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::from_bytes(text.as_bytes()).ok_or(InvalidAccountId)
    }
}

impl fmt::Display for AccountId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:012}", self.0)
    }
}

impl fmt::Debug for AccountId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl Serialize for AccountId {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for AccountId {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = <std::borrow::Cow<'de, str>>::deserialize(deserializer)?;
        text.parse().map_err(de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn exactly_twelve_ascii_digits_are_an_account_id() {
        let check = |text: &str, valid: bool| {
            assert_eq!(
                text.parse::<AccountId>().map(|id| id.to_string()).ok(),
                valid.then(|| text.to_owned()),
                "{text}"
            );
        };
        check("000000000042", true);
        check("999999999999", true);
        check("12345", false);
        check("1234567890123", false);
        check("12345678901a", false);
        check("１２３４", false);
        check("", false);
    }
}
