//! Which URIs are names, and what each other one is told.

use super::*;

#[test]
fn a_name_survives_being_written_and_read() {
    let check = |uri: &str, speaks_for: SpeaksFor| {
        let agent = uri.parse::<AgentIdentity>().expect("an agent's URI");
        assert_eq!(agent.to_string(), uri);
        assert_eq!(agent.speaks_for, speaks_for);
    };
    let account = "000000000042".parse().expect("an account id");
    check("spiffe://example.org/account/000000000042/agent/main", SpeaksFor::Account(account));
    check(
        "spiffe://corp/account/000000000042/organization-agent/central.bucket_1",
        SpeaksFor::Organization,
    );

    for uri in ["spiffe://corp/aggregator/trail.corp.example", "spiffe://corp/aggregator/::1"] {
        assert_eq!(
            uri.parse::<AggregatorIdentity>().expect("an aggregator's URI").to_string(),
            uri
        );
    }
}

#[test]
fn every_other_uri_is_told_what_is_wrong_with_it() {
    let check = |uri: &str, message: &str| {
        let error = Name::parse(uri).expect_err(uri).to_string();
        assert!(error.contains(message), "{uri}: {error}");
        assert!(!error.chars().any(char::is_control), "{uri}: {error}");
    };
    check("https://corp/account/000000000042/agent/main", "does not begin with spiffe://");
    check("SPIFFE://corp/account/000000000042/agent/main", "does not begin with spiffe://");
    check("spiffe://Corp/account/000000000042/agent/main", "no valid organization");
    check("spiffe:///account/000000000042/agent/main", "no valid organization");
    check("spiffe://corp:443/account/000000000042/agent/main", "no valid organization");
    check("spiffe://corp/account/42/agent/main", "has the account 42; an account id is 12 digits");
    check("spiffe://corp/account/00000000004x/agent/main", "an account id is 12 digits");
    check("spiffe://corp/account//agent/main", "an account id is 12 digits");
    check("spiffe://corp/account/000000000042/agent/", "no valid agent name");
    check("spiffe://corp/account/000000000042/agent/Main", "no valid agent name");
    check("spiffe://corp/account/000000000042/agent/%6dain", "no valid agent name");
    check("spiffe://corp/account/000000000042/agent/main/", "is neither an agent's");
    check("spiffe://corp/account/000000000042/agent/main?x", "no valid agent name");
    check("spiffe://corp/account/000000000042/admin/main", "is neither an agent's");
    check("spiffe://corp/organization-agent/main", "is neither an agent's");
    check("spiffe://corp//account/000000000042/agent/main", "is neither an agent's");
    check("spiffe://corp/aggregator/a b", "is neither an agent's");
    check("spiffe://corp", "is neither an agent's");
    check("spiffe://corp/\u{1b}[2J", "is neither an agent's");
    check(&format!("spiffe://corp/{}", "x".repeat(5_000)), "x…");
}

#[test]
fn one_role_is_not_taken_for_the_other() {
    let agent = "spiffe://corp/account/000000000042/agent/main";
    let aggregator = "spiffe://corp/aggregator/localhost";
    assert!(matches!(
        agent.parse::<AggregatorIdentity>(),
        Err(IdentityError::NotAnAggregator { .. })
    ));
    assert!(matches!(aggregator.parse::<AgentIdentity>(), Err(IdentityError::NotAnAgent { .. })));
}

#[test]
fn an_organization_name_is_lower_case_labels() {
    let check =
        |text: &str, valid: bool| assert_eq!(text.parse::<Organization>().is_ok(), valid, "{text}");
    check("corp", true);
    check("security.example-corp.com", true);
    check("0", true);
    check("", false);
    check("a..b", false);
    check("corp.", false);
    check("-corp", false);
    check("corp-", false);
    check("Corp", false);
    check("corp/x", false);
    check("cörp", false);
    check(&"a".repeat(64), false);
}

#[test]
fn an_agent_speaks_for_its_account_or_for_all() {
    let own = "000000000042".parse().expect("an account id");
    let other = "000000000043".parse().expect("an account id");
    assert!(SpeaksFor::Account(own).allows(own));
    assert!(!SpeaksFor::Account(own).allows(other));
    assert!(SpeaksFor::Organization.allows(other));
}
