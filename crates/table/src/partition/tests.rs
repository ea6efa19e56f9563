//! Where rows belong.

use super::*;

const OWN: AccountId = AccountId::UNKNOWN;

fn source(speaks_for: Option<AccountId>) -> RowSource<'static> {
    RowSource {
        agent_account: speaks_for.unwrap_or(OWN),
        agent: "main",
        speaks_for,
        committed_at: "2026-11-20T12:00:00Z".parse().expect("a time"),
        record: 1,
        row: 0,
    }
}

fn text(text: &str) -> Claim<'_> {
    Claim::Text(Cow::Borrowed(text))
}

fn claims<'a>() -> Claims<'a> {
    Claims {
        recipient: text("111111111111"),
        identity: Claim::Absent,
        region: text("eu-west-1"),
        eventtime: time::parse(b"2026-11-20T11:59:59Z"),
    }
}

fn check(claims: &Claims<'_>, speaks_for: Option<AccountId>, path: &str, anomalies: Option<&str>) {
    let placed = place(claims, &source(speaks_for), &mut Regions::default());
    let (partition, found) = placed.expect("covered");
    let Partition { account, region, date } = partition;
    assert_eq!(format!("{account}/{region}/{date}"), path);
    assert_eq!(found.text().as_deref(), anomalies);
}

#[test]
fn an_ordinary_record_is_placed_by_its_own_words() {
    check(&claims(), None, "111111111111/eu-west-1/2026-11-20", None);
}

#[test]
fn an_absent_account_is_the_agents_or_the_callers() {
    let own = "222222222222".parse().expect("an account");
    let absent = Claims { recipient: Claim::Absent, ..claims() };
    check(&absent, Some(own), "222222222222/eu-west-1/2026-11-20", Some("account_of_agent"));
    check(&absent, None, "000000000000/eu-west-1/2026-11-20", Some("account_unknown"));
    let caller = Claims { identity: text("333333333333"), ..absent.clone() };
    check(&caller, None, "333333333333/eu-west-1/2026-11-20", Some("account_of_identity"));
    let short = Claims { identity: text("12345"), ..absent };
    check(&short, None, "000000000000/eu-west-1/2026-11-20", Some("account_unknown"));
}

#[test]
fn an_account_that_is_none_is_unknown_whoever_called() {
    for recipient in [text("12345"), text("12345678901a"), text(""), Claim::Other] {
        let odd = Claims { recipient, identity: text("333333333333"), ..claims() };
        check(&odd, None, "000000000000/eu-west-1/2026-11-20", Some("account_unknown"));
    }
}

#[test]
fn a_row_is_of_an_account_that_its_agent_may_speak_for() {
    let own: AccountId = "111111111111".parse().expect("an account");
    check(&claims(), Some(own), "111111111111/eu-west-1/2026-11-20", None);
    let other = "222222222222".parse().expect("an account");
    let mut regions = Regions::default();
    for recipient in [text("111111111111"), text("12345"), Claim::Other] {
        let foreign = Claims { recipient, ..claims() };
        assert!(place(&foreign, &source(Some(other)), &mut regions).is_err());
    }
    assert!(regions.is_empty(), "a record without a place shows no region");
}

#[test]
fn a_date_lies_between_the_oldest_and_the_day_after_the_commit() {
    let at = |time: &[u8], date: &str, anomalies: Option<&str>| {
        let dated = Claims { eventtime: time::parse(time), ..claims() };
        check(&dated, None, &format!("111111111111/eu-west-1/{date}"), anomalies);
    };
    at(b"2006-01-01T00:00:00Z", "2006-01-01", None);
    at(b"2005-12-31T23:59:59Z", "1970-01-01", Some("date_out_of_range"));
    at(b"2026-11-21T23:59:59.999Z", "2026-11-21", None);
    at(b"2026-11-22T00:00:00Z", "1970-01-01", Some("date_out_of_range"));
    at(b"2026-11-22T00:30:00+01:00", "2026-11-21", None);
    at(b"9999-12-31T00:00:00Z", "1970-01-01", Some("date_out_of_range"));
    at(b"yesterday", "1970-01-01", Some("date_unknown"));
}

#[test]
fn regions_are_open_but_an_account_shows_at_most_64() {
    let unknown = "111111111111/unknown/2026-11-20";
    for claim in [text("../../etc"), text("EU"), Claim::Absent, Claim::Other] {
        check(&Claims { region: claim, ..claims() }, None, unknown, Some("region_unknown"));
    }
    let mut regions = Regions::default();
    let mut shown = |name: &str| {
        let shown = Claims { region: text(name), ..claims() };
        let placed = place(&shown, &source(None), &mut regions).expect("covered");
        (placed.0.region.to_string(), placed.1.text())
    };
    for number in 0..REGIONS_PER_ACCOUNT_MAX {
        let name = format!("invented-{number}");
        assert_eq!(shown(&name), (name, None));
    }
    assert_eq!(shown("one-more"), ("unknown".to_owned(), Some("region_over_limit".to_owned())));
    assert_eq!(shown("invented-7"), ("invented-7".to_owned(), None), "shown before");
}

#[test]
fn regions_grow_by_what_a_pass_has_added() {
    let mut regions = Regions::default();
    let admit = |regions: &mut Regions, name| {
        regions.admit(OWN, &text(name), &mut Anomalies::default());
    };
    admit(&mut regions, "eu-west-1");
    let older = regions.clone();
    admit(&mut regions, "us-east-1");
    admit(&mut regions, "eu-west-1");
    let added = regions.since(&older);
    let json = serde_json::to_string(&added).expect("json");
    assert_eq!(json, r#"{"000000000000":["us-east-1"]}"#);
    let mut again = older;
    again.absorb(&serde_json::from_str(&json).expect("json"));
    assert_eq!(again, regions);
}
