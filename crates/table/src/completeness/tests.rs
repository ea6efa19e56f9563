use event::AgentName;
use integrity::{Hash, SpoolId};
use journal::{AgentState, Certificate, SourceProgress, Stream};

use super::*;

const ONE: &str = "111122223333";
const OTHER: &str = "999999999999";

fn account(text: &str) -> AccountId {
    text.parse().expect("an account")
}

fn at(minute: i64) -> Timestamp {
    let noon: Timestamp = "2026-11-20T12:00:00Z".parse().expect("a time");
    noon + SignedDuration::from_mins(minute)
}

/// A journal's fold, as far as completeness looks at it.
#[derive(Default)]
struct World {
    journal: JournalState,
    known: Completeness,
    seen: Regions,
}

impl World {
    /// Opens the first spool of an agent, or the next one.
    fn open(&mut self, agent: &str, speaks_for: SpeaksFor) {
        let number = self.journal.streams.len() as u64 + 1;
        let key = key(agent, speaks_for);
        let certificate = Certificate { fingerprint: Hash([0; 32]), speaks_for };
        let stream = Stream {
            account: key.account,
            agent: key.agent.clone(),
            spool: SpoolId([u8::try_from(number % 251).expect("few"); 16]),
            opened_by: String::new(),
            watermark: 0,
            chain: Hash([0; 32]),
            record: number,
            ended: false,
            certificate,
        };
        self.journal.streams.insert(number, stream);
        let state =
            AgentState { active: number, cursors: BTreeMap::new(), progress: Progress::default() };
        self.journal.agents.insert(key, state);
    }

    /// What an agent says of sources: read to the end at a minute, so many seconds behind.
    fn report(
        &mut self,
        agent: &str,
        speaks_for: SpeaksFor,
        behind: u64,
        sources: &[(&str, Option<i64>, Option<u64>)],
    ) {
        let source = |(name, minute, delay): &(&str, Option<i64>, Option<u64>)| {
            let progress =
                SourceProgress { caught_up_at: minute.map(at), known_delay_secs: *delay };
            ((*name).to_owned(), progress)
        };
        let sources = sources.iter().map(source).collect();
        let progress = Progress { head: behind, heard_at: at(60), sources };
        let key = key(agent, speaks_for);
        self.journal.agents.get_mut(&key).expect("opened").progress = progress;
    }

    fn pass(&mut self) {
        let learned = self.known.learn(&self.journal, None, Losses::default());
        self.known.absorb(learned).expect("it fits");
    }

    fn show(&mut self, account: &str, region: &str) {
        let shown = format!("{{\"{account}\":[\"{region}\"]}}");
        self.seen.absorb(&serde_json::from_str(&shown).expect("regions"));
    }

    fn of(&self, account: &str) -> Known {
        let account = account.parse().expect("an account");
        let statements = self.known.statements(&self.seen, &BTreeSet::from([account]));
        let of = statements.into_iter().find(|statement| statement.account == account);
        of.expect("a named account has a statement").known
    }
}

fn key(agent: &str, speaks_for: SpeaksFor) -> AgentKey {
    let account = match speaks_for {
        SpeaksFor::Account(account) => account,
        SpeaksFor::Organization => account(ONE),
    };
    AgentKey { account, agent: agent.parse::<AgentName>().expect("a name") }
}

fn own() -> SpeaksFor {
    SpeaksFor::Account(account(ONE))
}

fn unknown(agents: &[&str]) -> Known {
    Known::Unknown(agents.iter().map(|agent| (*agent).to_owned()).collect())
}

#[test]
fn an_account_is_complete_to_the_least_claim_of_all_who_may_speak_for_it() {
    let mut world = World::default();
    world.show(ONE, "eu-west-1");
    world.show(OTHER, "eu-west-1");
    assert_eq!(world.of(ONE), Known::Nothing, "no agent");
    world.open("central", SpeaksFor::Organization);
    world.pass();
    assert_eq!(world.of(ONE), unknown(&["111122223333/central"]), "it has said nothing yet");
    let sources = [("a", Some(10), Some(60)), ("b", Some(5), Some(120))];
    world.report("central", SpeaksFor::Organization, 0, &sources);
    world.pass();
    assert_eq!(world.of(ONE), Known::CompleteTo(at(3)));
    world.open("main", own());
    world.pass();
    assert_eq!(world.of(ONE), unknown(&["111122223333/main"]), "a new agent may have more");
    assert_eq!(world.of(OTHER), Known::CompleteTo(at(3)), "but not of other accounts");
    world.report("main", own(), 0, &[("logs", Some(2), Some(0))]);
    world.pass();
    assert_eq!(
        (world.of(ONE), world.of(OTHER)),
        (Known::CompleteTo(at(2)), Known::CompleteTo(at(3)))
    );
}

#[test]
fn a_claim_is_made_only_by_who_can_say_and_has_sent_all_it_read() {
    let check = |behind, sources: &[(&str, Option<i64>, Option<u64>)], expected: Option<i64>| {
        let mut world = World::default();
        world.open("main", own());
        world.report("main", own(), behind, sources);
        world.pass();
        assert_eq!(world.of(ONE).complete_to(), expected.map(at), "{sources:?}");
    };
    check(0, &[("logs", Some(10), Some(0))], Some(10));
    check(1, &[("logs", Some(10), Some(0))], None);
    check(0, &[("logs", None, Some(0))], None);
    check(0, &[("logs", Some(10), None)], None);
    check(0, &[("logs", Some(10), Some(u64::MAX))], None);
    check(0, &[], None);
    check(0, &[("logs", Some(10), Some(0)), ("push", None, None)], None);
    // Heard at minute 60: a clock that is ahead claims no more than that.
    check(0, &[("logs", Some(100), Some(60))], Some(59));
}

#[test]
fn a_claim_outlives_backlog_restart_and_a_new_spool_and_no_other_change() {
    let mut world = World::default();
    world.open("main", own());
    world.report("main", own(), 0, &[("logs", Some(10), Some(0))]);
    world.pass();
    let claimed = Known::CompleteTo(at(10));
    world.report("main", own(), 7, &[("logs", Some(20), Some(0))]);
    world.pass();
    assert_eq!(world.of(ONE), claimed, "seven events are on their way");
    world.report("main", own(), 0, &[("logs", None, Some(0))]);
    world.pass();
    assert_eq!(world.of(ONE), claimed, "it has begun again");
    world.open("main", own());
    world.pass();
    assert_eq!(world.of(ONE), claimed, "a new spool has reported nothing");
    world.report("main", own(), 0, &[("logs", Some(5), Some(0))]);
    world.pass();
    assert_eq!(world.of(ONE), claimed, "it never goes back");

    world.report("main", own(), 3, &[("logs", Some(20), Some(0)), ("new", Some(20), Some(0))]);
    world.pass();
    assert_eq!(world.of(ONE).complete_to(), None, "another source may hold older events");
    world.report("main", own(), 0, &[("logs", Some(20), Some(0)), ("new", Some(9), Some(0))]);
    world.pass();
    assert_eq!(world.of(ONE), Known::CompleteTo(at(9)));
    world.report("main", own(), 1, &[("logs", Some(20), Some(0)), ("new", Some(30), Some(900))]);
    world.pass();
    assert_eq!(world.of(ONE).complete_to(), None, "what was claimed rested on another delay");
}

#[test]
fn nothing_is_pinned_when_nothing_has_changed() {
    let mut world = World::default();
    world.open("main", own());
    world.report("main", own(), 0, &[("logs", Some(10), Some(0))]);
    world.pass();
    assert!(world.known.learn(&world.journal, None, Losses::default()).is_empty());
    let expected = Expected { regions: ["eu-west-1".to_owned()].into(), ..Expected::default() };
    let learned = world.known.learn(&world.journal, Some(&expected), Losses::default());
    assert!(!learned.is_empty());
    world.known.absorb(learned).expect("it fits");
    assert!(world.known.learn(&world.journal, Some(&expected), Losses::default()).is_empty());
}

#[test]
fn an_organizations_agent_says_nothing_of_what_was_never_seen() {
    let mut world = World::default();
    world.open("central", SpeaksFor::Organization);
    world.report("central", SpeaksFor::Organization, 0, &[("logs", Some(10), Some(0))]);
    world.pass();
    world.known.expected.accounts = [account(ONE), account(OTHER)].into();
    world.known.expected.regions = ["eu-west-1".to_owned(), "us-east-1".to_owned()].into();
    assert_eq!(world.of(ONE), Known::Nothing);
    world.show(ONE, "eu-west-1");
    let statements = world.known.statements(&world.seen, &BTreeSet::new());
    let said: Vec<_> = statements
        .iter()
        .map(|one| (one.known.complete_to(), one.regions.len(), one.unseen_regions.join(",")))
        .collect();
    assert_eq!(said, [(Some(at(10)), 1, "us-east-1".to_owned()), (None, 0, String::new())]);
    // An account's own agent speaks for it also if nothing ever happened there.
    world.open("main", SpeaksFor::Account(account(OTHER)));
    let sources = [("logs", Some(4), Some(0))];
    world.report("main", SpeaksFor::Account(account(OTHER)), 0, &sources);
    world.pass();
    assert_eq!(world.of(OTHER), Known::CompleteTo(at(4)));
}

#[test]
fn nothing_waits_for_a_retired_agent_and_its_account_is_not_mistaken_for_complete() {
    let mut world = World::default();
    world.show(ONE, "eu-west-1");
    world.open("main", own());
    world.report("main", own(), 0, &[("logs", Some(1), Some(0))]);
    world.open("next", own());
    world.report("next", own(), 0, &[("logs", Some(10), Some(0))]);
    world.pass();
    assert_eq!(world.of(ONE), Known::CompleteTo(at(1)));
    world.known.expected.retired_agents = ["111122223333/main".to_owned()].into();
    assert_eq!(world.of(ONE), Known::CompleteTo(at(10)));
    world.known.expected.retired_agents.insert("111122223333/next".to_owned());
    assert_eq!(world.of(ONE), Known::Nothing, "who asks for it by name learns that");
    assert_eq!(world.known.statements(&world.seen, &BTreeSet::new()), [], "others are not held up");
}

/// The sources that an agent last reported, each with its delay, and what it has earned.
type Earned = (Vec<(String, Option<u64>)>, Option<i64>);

/// Never too strong: whatever agents report in whatever order, an account is complete
/// only up to a time to which each who may speak for it has once, for the sources
/// that it now has, read all and sent all.
#[test]
fn no_statement_is_stronger_than_every_speaker_has_earned() {
    let mut seed = 1_u64;
    let mut below = |bound: u64| {
        seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (seed >> 33) % bound
    };
    let agents = [
        ("central", SpeaksFor::Organization),
        ("main", own()),
        ("main", SpeaksFor::Account(account(OTHER))),
    ];
    for _ in 0..200 {
        let mut world = World::default();
        world.show(ONE, "eu-west-1");
        world.show(OTHER, "eu-west-1");
        let mut earned: BTreeMap<String, Earned> = BTreeMap::new();
        for step in 0..40 {
            let (name, speaks_for) = agents[usize::try_from(below(3)).expect("few")];
            let key = key(name, speaks_for);
            if !world.journal.agents.contains_key(&key) || below(10) == 0 {
                world.open(name, speaks_for);
                earned.entry(name_of(&key)).or_default();
            } else {
                let behind = below(2);
                let names: &[&str] = if below(6) == 0 { &["logs", "more"] } else { &["logs"] };
                let delay = [Some(0), Some(60), Some(60), Some(60), None]
                    [usize::try_from(below(5)).expect("few")];
                let minute = i64::try_from(below(50)).expect("few");
                let sources: Vec<_> =
                    names.iter().map(|name| (*name, Some(minute), delay)).collect();
                world.report(name, speaks_for, behind, &sources);
                let now: Vec<_> = names.iter().map(|name| ((*name).to_owned(), delay)).collect();
                let entry = earned.entry(name_of(&key)).or_default();
                if entry.0 != now {
                    *entry = (now, None);
                }
                if let (0, Some(delay)) = (behind, delay) {
                    let earns = minute - i64::try_from(delay / 60).expect("few");
                    entry.1 = entry.1.max(Some(earns));
                }
            }
            world.pass();
            for account in [ONE, OTHER] {
                let speakers = earned
                    .iter()
                    .filter(|(name, _)| name.ends_with("/central") || name.starts_with(account));
                let least: Option<Vec<i64>> = speakers.map(|(_, (_, earned))| *earned).collect();
                let least = least.and_then(|all| all.into_iter().min()).map(at);
                assert_eq!(world.of(account).complete_to(), least, "step {step} of {account}");
            }
        }
    }
}

#[test]
fn many_losses_merge_and_no_event_is_forgotten() {
    let mut losses = Losses::default();
    let loss = |account: Option<AccountId>, minute: i64| Loss {
        account,
        from: Some(at(minute)),
        to: at(minute + 1),
        units: 2,
        kind: LossKind::Gap,
    };
    for minute in 0..=LOSSES_MAX {
        let account = if minute % 2 == 0 { ONE } else { OTHER };
        losses.add(loss(
            Some(account.parse().expect("an account")),
            i64::try_from(minute).expect("few"),
        ));
    }
    let all: Vec<&Loss> = losses.iter().collect();
    assert_eq!(all.len(), 2, "one for each account");
    assert_eq!((all[0].from, all[0].to), (Some(at(0)), at(1_025)));
    assert_eq!(losses.units(LossKind::Gap), 2 * (LOSSES_MAX as u64 + 1));
    losses.add(Loss { from: None, ..loss(None, 5) });
    for number in 0..LOSSES_MAX {
        let account = format!("{:012}", number + 1).parse().expect("an account");
        losses.add(loss(Some(account), 7));
    }
    assert!(losses.iter().count() <= LOSSES_MAX);
    assert_eq!(losses.units(LossKind::Gap), 2 * (2 * LOSSES_MAX as u64 + 2));
    assert!(losses.iter().any(|loss| loss.account.is_none() && loss.from.is_none()));
}

/// A pass of a large organization stays far below what a record may be.
#[test]
fn a_thousand_agents_that_all_go_on_fit_in_a_small_record() {
    let mut world = World::default();
    for number in 0..1_000 {
        let speaks_for = SpeaksFor::Account(account(&format!("{number:012}")));
        world.open("main", speaks_for);
        let sources = [("cloudtrail-logs", Some(number % 50), Some(60))];
        world.report("main", speaks_for, 0, &sources);
    }
    let length = |world: &World| {
        let learned = world.known.learn(&world.journal, None, Losses::default());
        serde_json::to_vec(&learned).expect("JSON").len()
    };
    let first = length(&world);
    world.pass();
    for number in 0..1_000 {
        let speaks_for = SpeaksFor::Account(account(&format!("{number:012}")));
        let sources = [("cloudtrail-logs", Some(50 + number % 9), Some(60))];
        world.report("main", speaks_for, 0, &sources);
    }
    let later = length(&world);
    assert!(first < 150_000 && later < 25_000, "{first} bytes, then {later}");
}

#[test]
fn a_release_that_does_not_know_a_member_of_what_was_learned_refuses_it() {
    let intent = |completeness: &str| {
        let body = format!(
            r#"{{"pass_intent":{{"from":1,"to":1,"trail_version":1,"row_format":2,"partition_rows_min":1{completeness}}}}}"#
        );
        serde_json::from_str::<crate::log::Body>(&body).is_ok()
    };
    assert!(intent(""));
    assert!(intent(r#","completeness":{"expected":{"regions":["eu-west-1"]}}"#));
    assert!(!intent(r#","completeness":{"later":1}"#));
    assert!(!intent(r#","later":{}"#), "as releases before this refuse `completeness`");
    assert!(!intent(r#","completeness":{"expected":{"later":[]}}"#));
}
