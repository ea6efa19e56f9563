//! The name of a region. The set is open: real data has invented ones.

use std::fmt;
use std::str::FromStr;

/// A region's name: 2 to 32 of `[a-z0-9-]`, so that it is safe in a path.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Region(Box<str>);

/// A text that is no region name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a region is 2 to 32 of a-z, 0-9 and '-'")]
pub struct InvalidRegion;

impl Region {
    /// The partition of records whose region cannot be told.
    pub const UNKNOWN: &str = "unknown";

    /// The region as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for Region {
    type Err = InvalidRegion;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let plain = text
            .bytes()
            .all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-');
        if plain && (2..=32).contains(&text.len()) {
            Ok(Self(text.into()))
        } else {
            Err(InvalidRegion)
        }
    }
}

impl fmt::Display for Region {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for Region {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_region_is_safe_in_a_path_and_the_set_is_open() {
        let check =
            |text: &str, valid: bool| assert_eq!(text.parse::<Region>().is_ok(), valid, "{text}");
        check("eu-west-1", true);
        check("apiso-northsouth-3r", true);
        check("x", false);
        check("../../etc", false);
        check("EU-west-1", false);
        check("%2e%2e", false);
        check(&"a".repeat(33), false);
    }
}
