//! One account: who is in it, and what it does next.
//!
//! An [`Account`] never changes. Its [`Activity`] is the part that does: the
//! sessions that are open, and the dice.

use crate::action::{
    ACTIONS, APPS, AUDITOR, Action, Classes, Kind, PEOPLE, PIPELINE, ROOT, SERVICES, USERS,
};
use crate::dice::{Dice, mix};
use crate::draft::{Draft, Shared};
use crate::principal::{Origin, Principal, Session};
use crate::stamp::Stamp;

use event::AccountId;

/// How often each class acts, in thousandths.
const CLASS_WEIGHTS: &[(Classes, u32)] = &[
    (APPS, 500),
    (AUDITOR, 150),
    (SERVICES, 140),
    (PEOPLE, 90),
    (PIPELINE, 55),
    (USERS, 63),
    (ROOT, 2),
];

/// Calls that fail, in thousandths.
const FAILURES_PER_MILLE: usize = 50;

const SESSION_BY_ROLE: Action = Action::read("sts", "AssumeRole")
    .asks(r#"{"roleArn":"%1","roleSessionName":"%2","durationSeconds":3600}"#)
    .answers(r#"{"credentials":{"accessKeyId":"%3","sessionToken":"%t","expiration":"%4"},"assumedRoleUser":{"assumedRoleId":"%5:%2","arn":"%6"}}"#)
    .on(r#"[{"accountId":"%A","type":"AWS::IAM::Role","ARN":"%1"}]"#);
const SESSION_BY_SAML: Action = Action::read("sts", "AssumeRoleWithSAML")
    .asks(r#"{"sAMLAssertionID":"_%U","roleSessionName":"%2","roleArn":"%1","principalArn":"arn:aws:iam::%A:saml-provider/AWSSSO_4f1a09c3b7d25e68_DO_NOT_DELETE","durationSeconds":28800}"#)
    .answers(r#"{"subjectType":"persistent","issuer":"https://portal.sso.us-east-1.amazonaws.com/saml/assertion","credentials":{"accessKeyId":"%3","sessionToken":"%t","expiration":"%4"},"nameQualifier":"%y","assumedRoleUser":{"assumedRoleId":"%5:%2","arn":"%6"},"subject":"%2","audience":"https://signin.aws.amazon.com/saml"}"#)
    .on(r#"[{"accountId":"%A","type":"AWS::IAM::Role","ARN":"%1"},{"accountId":"%A","type":"AWS::IAM::SAMLProvider","ARN":"arn:aws:iam::%A:saml-provider/AWSSSO_4f1a09c3b7d25e68_DO_NOT_DELETE"}]"#);
const CONSOLE_LOGIN: Action = Action::write("signin", "ConsoleLogin").kind(Kind::SignIn);

/// One account of the organization.
#[derive(Clone, Debug)]
pub(crate) struct Account {
    pub(crate) id: AccountId,
    /// The id as text.
    pub(crate) text: String,
    /// A short name, part of its buckets' names.
    pub(crate) name: String,
    pub(crate) seed: u64,
    /// The region, by number, where most of it is.
    pub(crate) home: usize,
    pub(crate) principals: Vec<Principal>,
}

impl Account {
    /// The principals of a class, by number.
    pub(crate) fn of_class(&self, class: Classes) -> impl Iterator<Item = usize> {
        self.principals
            .iter()
            .enumerate()
            .filter(move |(_, principal)| principal.class == class)
            .map(|(at, _)| at)
    }
}

/// Actions of one class and where in a cumulated sum of weights each ends.
#[derive(Clone, Debug)]
pub(crate) struct Repertoire {
    classes: Vec<(u32, Classes, Weighted)>,
}

/// Actions by number, each with where its weight ends in the cumulated sum.
type Weighted = Vec<(u32, usize)>;

impl Repertoire {
    pub(crate) fn new() -> Self {
        let mut end = 0;
        let classes = CLASS_WEIGHTS
            .iter()
            .map(|(class, weight)| {
                end += weight;
                let mut sum = 0;
                let actions = ACTIONS
                    .iter()
                    .enumerate()
                    .filter(|(_, action)| action.classes & class != 0)
                    .map(|(at, action)| {
                        sum += action.weight;
                        (sum, at)
                    })
                    .collect();
                (end, *class, actions)
            })
            .collect();
        Self { classes }
    }

    fn class(&self, dice: &mut Dice) -> (Classes, &[(u32, usize)]) {
        let total = self.classes.last().map_or(0, |(end, ..)| *end);
        let at = dice.below(total as usize);
        let (_, class, actions) = self
            .classes
            .iter()
            .find(|(end, ..)| at < *end as usize)
            .expect("the number is below the last sum");
        (*class, actions)
    }
}

fn weighted(actions: &[(u32, usize)], dice: &mut Dice) -> &'static Action {
    let total = actions.last().map_or(0, |(end, _)| *end);
    let at = dice.below(total as usize);
    let index = actions.partition_point(|(end, _)| *end as usize <= at);
    let action = actions.get(index).and_then(|(_, action)| ACTIONS.get(*action));
    action.expect("the number is below the last sum")
}

/// What an account did in one step.
pub(crate) struct Step {
    /// The region's number.
    pub(crate) region: usize,
    /// Whether the record began a session.
    pub(crate) began: bool,
    /// A role of this account was assumed from another account: that account's
    /// copy of the record is still to be written, from this.
    pub(crate) chain: Option<Chain>,
}

/// A role that was assumed from another account.
pub(crate) struct Chain {
    pub(crate) principal: usize,
    pub(crate) shared: Shared,
    pub(crate) key: String,
    pub(crate) until: String,
    /// The ARN that the session's calls are made with.
    pub(crate) arn: String,
}

/// The part of an account that changes as it acts.
#[derive(Clone, Debug)]
pub(crate) struct Activity {
    sessions: Vec<Session>,
    dice: Dice,
}

/// What all accounts of an organization have in common.
pub(crate) struct Surroundings<'a> {
    pub(crate) accounts: &'a [Account],
    pub(crate) regions: &'a [event::Region],
    pub(crate) repertoire: &'a Repertoire,
}

impl<'a> Surroundings<'a> {
    pub(crate) fn region(&self, index: usize) -> &'a str {
        self.regions.get(index).map_or("us-east-1", event::Region::as_str)
    }

    /// The account whose role assumes the roles of a class elsewhere.
    pub(crate) fn caller(&self, class: Classes) -> usize {
        let at = if class == AUDITOR { 1 } else { 2 };
        at % self.accounts.len().max(1)
    }
}

impl Activity {
    pub(crate) fn new(account: &Account, seed: u64) -> Self {
        let sessions = vec![Session::default(); account.principals.len()];
        Self { sessions, dice: Dice::new(mix(seed, account.seed)) }
    }

    /// Appends the account's next record. With `may_begin`, a principal without
    /// a session begins one and that is the record; otherwise it just has one.
    pub(crate) fn step(
        &mut self,
        account: &Account,
        around: &Surroundings<'_>,
        now: &Stamp,
        may_begin: bool,
        out: &mut Vec<u8>,
    ) -> Step {
        let (class, actions) = around.repertoire.class(&mut self.dice);
        let member = self.dice.below(account.of_class(class).count());
        let index = account.of_class(class).nth(member).expect("every account has every class");
        let principal = account.principals.get(index).expect("the number comes from the list");
        let region = if self.dice.happens(550) {
            account.home
        } else {
            self.dice.below(around.regions.len())
        };
        if self.hold(account, index, now) && may_begin && principal.is_role() {
            return self.begin(account, around, index, region, now, out);
        }
        let Self { sessions, dice } = self;
        let session = sessions.get_mut(index).expect("there is a session for each principal");
        let sign_in = std::mem::take(&mut session.sign_in);
        let action = if sign_in { &CONSOLE_LOGIN } else { weighted(actions, dice) };
        let region = if action.is_global() { 0 } else { region };
        let failure = (dice.happens(FAILURES_PER_MILLE) && !sign_in)
            .then(|| *dice.pick(action.failures))
            .filter(|_| !matches!(action.kind, Kind::ServiceEvent | Kind::ServiceDataEvent));
        let endpoint = match &principal.origin {
            Origin::Endpoint(_, endpoint) => Some(endpoint.as_str()),
            Origin::Address(_) | Origin::Service(_) => None,
        };
        Draft {
            account,
            region: around.region(region),
            now,
            identity: &session.identity,
            arn: &session.arn,
            address: principal.origin.address(),
            endpoint,
            agent: principal.agent,
            action,
            failure,
            shared: None,
            console: class == PEOPLE,
            given: [""; 6],
        }
        .write(dice, out);
        Step { region, began: false, chain: None }
    }

    /// Makes sure that a principal has a session; says whether it is new.
    pub(crate) fn hold(&mut self, account: &Account, index: usize, now: &Stamp) -> bool {
        let principal = account.principals.get(index).expect("the number comes from the list");
        let session = self.sessions.get_mut(index).expect("there is a session for each principal");
        if session.until > now.second() {
            return false;
        }
        *session = principal.begin(now, &mut self.dice);
        true
    }

    /// Appends the record of the session that `hold` just began.
    fn begin(
        &mut self,
        account: &Account,
        around: &Surroundings<'_>,
        index: usize,
        region: usize,
        now: &Stamp,
        out: &mut Vec<u8>,
    ) -> Step {
        let Self { sessions, dice } = self;
        let principal = account.principals.get(index).expect("the number comes from the list");
        let session = sessions.get(index).expect("there is a session for each principal");
        let until = Stamp::new(session.until).text().to_owned();
        let caller = around
            .accounts
            .get(around.caller(principal.class))
            .filter(|caller| caller.id != account.id);
        let mut shared = None;
        let (identity, address, agent, action) = match (principal.class, caller) {
            (PEOPLE, _) => {
                let name = &principal.session;
                let identity = format!(
                    r#"{{"type":"SAMLUser","principalId":"portal.sso:{name}","userName":"{name}","identityProvider":"portal.sso.us-east-1.amazonaws.com/saml/assertion"}}"#
                );
                (identity, principal.origin.address(), principal.agent, &SESSION_BY_SAML)
            }
            (AUDITOR | PIPELINE, Some(caller)) => {
                shared = Some(Shared::new(dice));
                let role = caller.principals.iter().find(|other| other.class == APPS);
                let (id, name) =
                    role.map_or(("", ""), |role| (role.id.as_str(), role.session.as_str()));
                let identity = format!(
                    r#"{{"type":"AWSAccount","principalId":"{id}:{name}","accountId":"{}"}}"#,
                    caller.text
                );
                (identity, principal.origin.address(), principal.agent, &SESSION_BY_ROLE)
            }
            _ => {
                let service = match &principal.origin {
                    Origin::Service(service) => service,
                    _ if principal.session == "ingest" => "lambda.amazonaws.com",
                    _ => "ec2.amazonaws.com",
                };
                let identity = format!(r#"{{"type":"AWSService","invokedBy":"{service}"}}"#);
                (identity, service, service, &SESSION_BY_ROLE)
            }
        };
        Draft {
            account,
            region: around.region(region),
            now,
            identity: identity.as_bytes(),
            arn: "",
            address,
            endpoint: None,
            agent,
            action,
            failure: None,
            shared: shared.as_ref(),
            console: false,
            given: [
                &principal.arn(),
                &principal.session,
                &session.key,
                &until,
                &principal.id,
                &session.arn,
            ],
        }
        .write(dice, out);
        let (key, arn) = (session.key.clone(), session.arn.clone());
        Step {
            region,
            began: true,
            chain: shared.map(|shared| Chain { principal: index, shared, key, until, arn }),
        }
    }

    /// Appends this account's copy of the record of a role that one of its own
    /// roles assumed in another account.
    pub(crate) fn assumed(
        &mut self,
        account: &Account,
        region: &str,
        target: &Principal,
        chain: &Chain,
        now: &Stamp,
        out: &mut Vec<u8>,
    ) {
        let index = account.of_class(APPS).next().unwrap_or(0);
        self.hold(account, index, now);
        let Self { sessions, dice } = self;
        let session = sessions.get(index).expect("there is a session for each principal");
        Draft {
            account,
            region,
            now,
            identity: &session.identity,
            arn: &session.arn,
            address: target.origin.address(),
            endpoint: None,
            agent: target.agent,
            action: &SESSION_BY_ROLE,
            failure: None,
            shared: Some(&chain.shared),
            console: false,
            given: [
                &target.arn(),
                &target.session,
                &chain.key,
                &chain.until,
                &target.id,
                &chain.arn,
            ],
        }
        .write(dice, out);
    }
}
