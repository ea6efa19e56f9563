//! Names of sessions of roles, which are told by their place and not by their form.
//!
//! Whoever takes on a role chooses the session's name, so a name may look like anything:
//! an index of indicators promises nothing about it.

use super::is_unique_id;

/// Whether a session of a role may have this name (STS: `[\w+=,.@-]{2,64}`).
#[must_use]
pub fn is_session_name(text: &str) -> bool {
    let may_be = |byte: u8| {
        byte.is_ascii_alphanumeric()
            || matches!(byte, b'_' | b'+' | b'=' | b',' | b'.' | b'@' | b'-')
    };
    (2..=64).contains(&text.len()) && text.bytes().all(may_be)
}

/// The name of the session that `arn:…:sts::…:assumed-role/ROLE/SESSION` is of.
#[must_use]
pub fn session_of_arn(text: &str) -> Option<&str> {
    let rest = text.strip_prefix("arn:")?;
    // Few ARNs are those of sessions, and most are told by their service.
    let partition = rest.bytes().position(|byte| byte == b':')?;
    let rest = rest.get(partition..)?.strip_prefix(":sts:")?;
    let role = rest.splitn(3, ':').nth(2)?.strip_prefix("assumed-role/")?;
    let (_role, session) = role.split_once('/')?;
    is_session_name(session).then_some(session)
}

/// The name of the session whose principal is `AROA…:SESSION`.
#[must_use]
pub fn session_of_principal(text: &str) -> Option<&str> {
    let (id, session) = text.split_once(':')?;
    (is_unique_id(id.as_bytes()) && is_session_name(session)).then_some(session)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_session_is_named_by_its_arn_and_by_its_principal() {
        for (arn, session) in [
            ("arn:aws:sts::123456789012:assumed-role/admin/alice@example.com", "alice@example.com"),
            (
                "arn:aws-cn:sts::123456789012:assumed-role/admin/i-0123456789abcdef0",
                "i-0123456789abcdef0",
            ),
        ] {
            assert_eq!(session_of_arn(arn), Some(session), "{arn}");
        }
        for arn in [
            "arn:aws:iam::123456789012:role/admin/alice",
            "arn:aws:sts::123456789012:assumed-role/admin",
            "arn:aws:sts::123456789012:assumed-role/admin/a",
            "arn:aws:sts::123456789012:assumed-role/admin/alice/bob",
            "arn:aws:sts::123456789012:federated-user/alice",
            "arn:aws:sts",
            "alice",
        ] {
            assert_eq!(session_of_arn(arn), None, "{arn}");
        }
        assert_eq!(session_of_principal("AROACKCEVSQ6C2EXAMPLE:alice"), Some("alice"));
        for principal in
            ["AROACKCEVSQ6C2EXAMPLE", "123456789012:alice", "AROACKCEVSQ6C2EXAMPLE:a b"]
        {
            assert_eq!(session_of_principal(principal), None, "{principal}");
        }
    }

    #[test]
    fn a_name_is_two_to_64_of_what_sts_allows() {
        let longest = "a".repeat(64);
        for name in ["ab", "alice@example.com", "a+b=c,d.e_f-g", longest.as_str()] {
            assert!(is_session_name(name), "{name}");
        }
        for name in ["", "a", "a b", "a/b", "a:b", "\u{e4}\u{e4}", &format!("{longest}a")] {
            assert!(!is_session_name(name), "{name}");
        }
    }
}
