//! Certificate identity: whatever bytes a stranger shows, and whatever text an
//! operator writes about strangers.
#![no_main]

use identity::{Organization, Refuse, certificate, peer};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let whole = certificate(data);
    match (peer(data), &whole) {
        (Ok(peer), Ok(whole)) => {
            let uri = peer.identity.to_string();
            assert_eq!(uri, whole.uri());
            assert!(
                data.windows(uri.len()).any(|part| part == uri.as_bytes()),
                "{uri} is not in it"
            );
        }
        (Ok(_), Err(error)) => panic!("an agent's certificate is none: {error}"),
        (Err(_), _) => {}
    }
    let Ok(text) = std::str::from_utf8(data) else { return };
    if let Ok(organization) = text.parse::<Organization>() {
        assert_eq!(organization.to_string(), text);
    }
    drop(Refuse::parse(text.lines()));
    if let Ok(name) = text.parse::<event::AgentName>() {
        assert_eq!(name.as_str(), text);
    }
    if let Ok(account) = text.parse::<event::AccountId>() {
        assert_eq!(account.to_string(), text);
    }
    if let Ok(region) = text.parse::<event::Region>() {
        assert!(region.as_str().bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-'));
    }
});
