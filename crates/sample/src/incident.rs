//! The incident that is hidden in every sample: a leaked access key.
//!
//! Somebody finds the key of an IAM user that a backup job uses, looks around
//! with it from an address that was never seen before, is denied most things,
//! finds two accounts whose `deploy` role trusts the user's account, plants a
//! user there, reads secrets, and starts large instances.

use event::AccountId;

use crate::account::{Account, Surroundings};
use crate::action::{Action, DENIED, Failure, PIPELINE, USERS};
use crate::dice::{Dice, mix};
use crate::draft::{Draft, Shared};
use crate::principal::{Origin, Principal, access_key};
use crate::stamp::Stamp;

/// Where the intruder sits; no other record has an address of this network.
pub(crate) const ADDRESS: &str = "198.51.100.23";
const AGENT: &str = "python-requests/2.32.3 Boto3/1.35.20 md/Botocore#1.35.20 ua/2.0 os/linux#6.11.2-kali md/arch#x86_64 lang/python#3.12.6 Botocore/1.35.20";
/// How far into the sample's time it begins, in thousandths.
const BEGINS_PER_MILLE: i64 = 715;
/// A sample of fewer records than this has no incident.
pub(crate) const RECORDS_MIN: u64 = 2_000;

const GUARDRAIL: Failure = (
    "AccessDenied",
    "User: %P is not authorized to perform: %S:%E with an explicit deny in a service control policy",
);
const QUOTA: Failure = (
    "Client.VcpuLimitExceeded",
    "You have requested more vCPU capacity than your current vCPU limit of 32 allows for the instance bucket that the specified instance type belongs to.",
);
const NO_TRUST: Failure =
    ("AccessDenied", "User: %P is not authorized to perform: sts:AssumeRole on resource: %1");

const MINE: &str = r#"{"instancesSet":{"items":[{"imageId":"ami-%h","minCount":8,"maxCount":8}]},"instanceType":"p4d.24xlarge","monitoring":{"enabled":false},"disableApiTermination":true,"clientToken":"%U"}"#;

const ASSUME: Action = Action::read("sts", "AssumeRole")
    .asks(r#"{"roleArn":"%1","roleSessionName":"%2","durationSeconds":3600}"#)
    .answers(r#"{"credentials":{"accessKeyId":"%3","sessionToken":"%t","expiration":"%4"},"assumedRoleUser":{"assumedRoleId":"%5:%2","arn":"%6"}}"#)
    .on(r#"[{"accountId":"%A","type":"AWS::IAM::Role","ARN":"%1"}]"#);

/// With the key itself, in the account that it belongs to: denied or not.
const LOOK_AROUND: &[(Action, bool)] = &[
    (Action::read("sts", "GetCallerIdentity"), true),
    (Action::read("iam", "GetUser"), false),
    (Action::read("iam", "ListAttachedUserPolicies").asks(r#"{"userName":"svc-backup"}"#), false),
    (Action::read("iam", "ListUsers"), false),
    (Action::read("iam", "ListRoles"), false),
    (Action::read("iam", "GetAccountAuthorizationDetails"), false),
    (Action::read("s3", "ListBuckets").asks(r#"{"Host":"s3.%R.amazonaws.com"}"#), true),
    (Action::read("secretsmanager", "ListSecrets").asks(r#"{"maxResults":100}"#), false),
    (Action::read("ssm", "DescribeParameters"), false),
    (Action::read("lambda", "ListFunctions20150331"), false),
    (Action::read("rds", "DescribeDBInstances"), false),
    (Action::read("ses", "GetSendQuota"), false),
    (Action::read("organizations", "ListAccounts"), false),
    (Action::read("organizations", "DescribeOrganization"), true),
    (Action::read("ec2", "DescribeInstances").asks(r#"{"instancesSet":{},"filterSet":{}}"#), false),
    (Action::read("ec2", "DescribeRegions").asks(r#"{"regionSet":{}}"#), true),
];

/// In the first account that lets the user in: stay, and read secrets.
const SETTLE_IN: &[Action] = &[
    Action::read("sts", "GetCallerIdentity"),
    Action::read("iam", "ListUsers"),
    Action::write("iam", "CreateUser")
        .asks(r#"{"userName":"support-readonly"}"#)
        .answers(r#"{"user":{"path":"/","userName":"support-readonly","userId":"AIDA%dX","arn":"arn:aws:iam::%A:user/support-readonly","createDate":"%T"}}"#),
    Action::write("iam", "CreateAccessKey")
        .asks(r#"{"userName":"support-readonly"}"#)
        .answers(r#"{"accessKey":{"userName":"support-readonly","accessKeyId":"%3","status":"Active","createDate":"%T"}}"#),
    Action::write("iam", "PutUserPolicy").asks(r#"{"userName":"support-readonly","policyName":"support","policyDocument":"{\"Version\":\"2012-10-17\",\"Statement\":[{\"Effect\":\"Allow\",\"Action\":\"*\",\"Resource\":\"*\"}]}"}"#),
    Action::read("secretsmanager", "ListSecrets").asks(r#"{"maxResults":100}"#),
    Action::read("secretsmanager", "GetSecretValue").asks(r#"{"secretId":"prod/db/orders-Ab3dEf"}"#),
    Action::read("secretsmanager", "GetSecretValue").asks(r#"{"secretId":"prod/api/payments-Zx81Qp"}"#),
    Action::read("secretsmanager", "GetSecretValue").asks(r#"{"secretId":"prod/smtp-Rt5Yu7"}"#),
    Action::read("ssm", "GetParameter").asks(r#"{"name":"/prod/db/url","withDecryption":true}"#),
];

/// What the demo's answers must find.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Incident {
    /// The account whose user's key leaked.
    pub account: AccountId,
    /// The user.
    pub user_name: String,
    /// The user's ARN.
    pub user_arn: String,
    /// The leaked key.
    pub access_key_id: String,
    /// The address that the intruder used.
    pub address: String,
    /// The accounts that the intruder entered from there by `AssumeRole`.
    pub entered: Vec<AccountId>,
    /// The key that the intruder made in the first of them.
    pub planted_access_key_id: String,
}

/// One record of the incident.
pub(crate) struct Moment {
    pub(crate) second: i64,
    pub(crate) account: usize,
    pub(crate) region: usize,
    pub(crate) record: Vec<u8>,
}

/// The accounts that the incident plays in, by number, and its user.
struct Stage<'a> {
    victim: (usize, &'a Account),
    user: &'a Principal,
    targets: [(usize, &'a Account); 2],
    planted: String,
}

fn stage(accounts: &[Account], seed: u64) -> Stage<'_> {
    let at = |index: usize| {
        let index = index % accounts.len().max(1);
        (index, accounts.get(index).expect("an organization has at least one account"))
    };
    let victim = at(4);
    let user = victim.1.of_class(USERS).next().and_then(|user| victim.1.principals.get(user));
    Stage {
        victim,
        user: user.expect("every account has users"),
        targets: [at(6), at(9)],
        planted: access_key("AKIA", &mut Dice::new(mix(seed, 0x91a7))),
    }
}

impl Incident {
    pub(crate) fn new(accounts: &[Account], seed: u64) -> Self {
        let stage = stage(accounts, seed);
        Self {
            account: stage.victim.1.id,
            user_name: stage.user.name.clone(),
            user_arn: stage.user.arn(),
            access_key_id: stage.user.key.clone(),
            address: ADDRESS.to_owned(),
            entered: stage.targets.iter().map(|(_, account)| account.id).collect(),
            planted_access_key_id: stage.planted,
        }
    }
}

/// When the incident begins: at 02:17 UTC of its day, if the sample has that.
pub(crate) fn begins(begin: i64, end: i64) -> i64 {
    let about = begin + (end - begin) / 1000 * BEGINS_PER_MILLE;
    let night = about.div_euclid(86_400) * 86_400 + 2 * 3600 + 17 * 60;
    if night > begin && night + 2 * 3600 < end { night } else { about }
}

/// The incident's records, in time order.
pub(crate) fn moments(around: &Surroundings<'_>, seed: u64, begin: i64, end: i64) -> Vec<Moment> {
    let stage = stage(around.accounts, seed);
    let mut told = Told {
        around,
        dice: Dice::new(mix(seed, 0x1eaf)),
        now: Stamp::new(begins(begin, end)),
        end,
        moments: Vec::new(),
    };
    let (victim, account) = stage.victim;
    let key = stage.user.begin(&told.now, &mut told.dice);
    let home = account.home;

    for (action, allowed) in LOOK_AROUND {
        let denied = action.failures.first().or(DENIED.first()).copied();
        let failure = if *allowed { None } else { denied };
        let action = if action.service == "ec2" { &action.ec2() } else { action };
        let failure = if action.service == "ec2" && !allowed {
            action.failures.first().copied()
        } else {
            failure
        };
        told.tell(victim, home, &key.identity, &key.arn, action, failure, None, [""; 6], 20);
    }
    for region in 0..around.regions.len() {
        let describe = Action::read("ec2", "DescribeInstances")
            .asks(r#"{"instancesSet":{},"filterSet":{}}"#)
            .ec2();
        told.tell(
            victim,
            region,
            &key.identity,
            &key.arn,
            &describe,
            describe.failures.first().copied(),
            None,
            [""; 6],
            4,
        );
    }
    for _ in 0..18 {
        told.tell(
            victim,
            home,
            &key.identity,
            &key.arn,
            &Action::read("s3", "GetObject").object(),
            None,
            None,
            [""; 6],
            9,
        );
    }
    for (index, other) in around.accounts.iter().enumerate() {
        if index == victim || stage.targets.iter().any(|(target, _)| *target == index) {
            continue;
        }
        let role = format!("arn:aws:iam::{}:role/OrganizationAccountAccessRole", other.text);
        let given = [role.as_str(), "svc-backup", "", "", "", ""];
        told.tell(victim, 0, &key.identity, &key.arn, &ASSUME, Some(NO_TRUST), None, given, 12);
    }

    for (number, (target, account)) in stage.targets.iter().enumerate() {
        let deploy =
            account.of_class(PIPELINE).next().and_then(|role| account.principals.get(role));
        let mut role = deploy.expect("every account has a deployment role").clone();
        role.session = "svc-backup".to_owned();
        role.origin = Origin::Address(ADDRESS.to_owned());
        let session = role.begin(&told.now, &mut told.dice);
        let until = Stamp::new(session.until).text().to_owned();
        let role_arn = role.arn();
        let given = [role_arn.as_str(), "svc-backup", &session.key, &until, &role.id, &session.arn];
        let shared = Shared::new(&mut told.dice);
        told.tell(victim, 0, &key.identity, &key.arn, &ASSUME, None, Some(&shared), given, 0);
        let outsider = format!(
            r#"{{"type":"AWSAccount","principalId":"{}","accountId":"{}"}}"#,
            stage.user.id, stage.user.account
        );
        told.tell(
            *target,
            0,
            outsider.as_bytes(),
            &key.arn,
            &ASSUME,
            None,
            Some(&shared),
            given,
            35,
        );
        let home = account.home;
        if number == 0 {
            for action in SETTLE_IN {
                let given = ["", "", &stage.planted, "", "", ""];
                told.tell(
                    *target,
                    home,
                    &session.identity,
                    &session.arn,
                    action,
                    None,
                    None,
                    given,
                    50,
                );
            }
        }
        let blind: [(Action, Failure); 2] = [
            (
                Action::write("cloudtrail", "StopLogging").asks(r#"{"name":"organization-trail"}"#),
                GUARDRAIL,
            ),
            (
                Action::write("guardduty", "DeleteDetector").asks(r#"{"detectorId":"%h%h"}"#),
                GUARDRAIL,
            ),
        ];
        for (action, failure) in blind {
            told.tell(
                *target,
                home,
                &session.identity,
                &session.arn,
                &action,
                Some(failure),
                None,
                [""; 6],
                30,
            );
        }
        for region in 0..around.regions.len() {
            let mine = Action::write("ec2", "RunInstances").asks(MINE).answers(r#"{"requestId":"%U","reservationId":"r-%h","ownerId":"%A","groupSet":{},"instancesSet":{"items":[{"instanceId":"%i","imageId":"ami-%h","currentState":{"code":0,"name":"pending"},"instanceType":"p4d.24xlarge","launchTime":%M,"subnetId":"%z","vpcId":"%v"}]}}"#);
            let failure = (region != home).then_some(QUOTA);
            told.tell(
                *target,
                region,
                &session.identity,
                &session.arn,
                &mine,
                failure,
                None,
                [""; 6],
                15,
            );
        }
    }
    told.moments
}

/// The incident as far as it is told.
struct Told<'a> {
    around: &'a Surroundings<'a>,
    dice: Dice,
    now: Stamp,
    end: i64,
    moments: Vec<Moment>,
}

impl Told<'_> {
    /// Adds one record, and lets up to twice `pause_secs` pass after it.
    #[expect(clippy::too_many_arguments, reason = "one call says one line of the story")]
    fn tell(
        &mut self,
        account: usize,
        region: usize,
        identity: &[u8],
        arn: &str,
        action: &Action,
        failure: Option<Failure>,
        shared: Option<&Shared>,
        given: [&str; 6],
        pause_secs: usize,
    ) {
        let region = if action.is_global() { 0 } else { region };
        let mut record = Vec::with_capacity(2048);
        Draft {
            account: self
                .around
                .accounts
                .get(account)
                .expect("the stage names accounts that are there"),
            region: self.around.region(region),
            now: &self.now,
            identity,
            arn,
            address: ADDRESS,
            endpoint: None,
            agent: AGENT,
            action,
            failure,
            shared,
            console: false,
            given,
        }
        .write(&mut self.dice, &mut record);
        self.moments.push(Moment { second: self.now.second(), account, region, record });
        let pause = i64::try_from(self.dice.below(2 * pause_secs + 1)).unwrap_or(0);
        self.now.set((self.now.second() + pause).min(self.end));
    }
}
