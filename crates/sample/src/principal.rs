//! Who acts in an account: users, roles and their sessions, services, root.
//!
//! A principal never changes; a [`Session`] is the part that does. Identities
//! are written once per session as the JSON that every record of it repeats.

use std::io::Write as _;

use crate::action::{APPS, AUDITOR, Classes, PEOPLE, PIPELINE, ROOT, SERVICES, USERS};
use crate::dice::{Dice, mix};
use crate::stamp::Stamp;

/// Seconds that the session of an application, a pipeline or a service lives.
const ROLE_SESSION_SECS: i64 = 3600;
/// Seconds that a person's session lives.
const PERSON_SESSION_SECS: i64 = 8 * 3600;

/// The people of the organization; each has sessions in several accounts.
pub(crate) const PEOPLE_NAMES: &[&str] = &[
    "amara.okafor",
    "ben.schaefer",
    "chloe.martin",
    "diego.ramos",
    "elif.yildiz",
    "farid.haddad",
    "grace.lin",
    "hanna.virtanen",
    "ivan.petrov",
    "julia.nowak",
    "kenji.sato",
    "lena.fischer",
    "marta.silva",
    "noah.cohen",
    "olga.melnyk",
    "priya.nair",
    "quentin.roux",
    "rosa.bianchi",
    "samir.khan",
    "tessa.devries",
];

const BROWSERS: &[&str] = &[
    "Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/142.0.0.0 Safari/537.36",
    "Mozilla/5.0 (X11; Linux x86_64; rv:144.0) Gecko/20100101 Firefox/144.0",
    "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/142.0.0.0 Safari/537.36 Edg/142.0.0.0",
];
const LIBRARIES: &[&str] = &[
    "Boto3/1.40.61 md/Botocore#1.40.61 ua/2.1 os/linux#6.1.155-176.282.amzn2023.aarch64 md/arch#aarch64 lang/python#3.13.7 md/pyimpl#CPython Botocore/1.40.61",
    "aws-sdk-java/2.35.7 md/io#async md/http#NettyNio ua/2.1 os/Linux#6.1.155 lang/java#21.0.8 md/en_US m/D,b",
    "aws-sdk-go-v2/1.39.4 ua/2.1 os/linux lang/go#1.25.3 md/GOOS#linux md/GOARCH#arm64 api/s3#1.88.7 m/E,b",
    "aws-sdk-js/3.916.0 ua/2.1 os/linux#6.1.155 lang/js md/nodejs#22.20.0 api/dynamodb#3.916.0 m/E,N",
];
const DEPLOYERS: &[&str] = &[
    "APN/1.0 HashiCorp/1.0 Terraform/1.13.4 (+https://www.terraform.io) terraform-provider-aws/6.18.0 aws-sdk-go-v2/1.39.4 ua/2.1 os/linux lang/go#1.24.8 md/GOOS#linux md/GOARCH#amd64 m/b,E",
    "aws-cli/2.31.18 md/awscrt#0.28.2 ua/2.1 os/linux#6.8.0-1036-azure md/arch#x86_64 lang/python#3.13.7 md/pyimpl#CPython exec-env/CI m/C,Z,b,E md/prompt#off md/command#cloudformation.deploy",
];
const AUDIT_AGENT: &str = "Boto3/1.40.61 md/Botocore#1.40.61 ua/2.1 os/linux#6.12.53 md/arch#x86_64 lang/python#3.12.12 md/pyimpl#CPython posture-scanner/4.2";
const USER_AGENTS: &[&str] = &[
    "aws-cli/2.31.18 md/awscrt#0.28.2 ua/2.1 os/macos#25.0.0 md/arch#arm64 lang/python#3.13.7 md/pyimpl#CPython m/E,Z,b md/prompt#off",
    "aws-cli/1.18.147 Python/2.7.18 Linux/4.14.355-276.639.amzn2.x86_64 botocore/1.18.6",
];

/// Where a principal's calls come from.
#[derive(Clone, Debug)]
pub(crate) enum Origin {
    /// An address on the internet.
    Address(String),
    /// A private address behind a VPC endpoint: the address and the endpoint.
    Endpoint(String, String),
    /// An AWS service on the principal's behalf.
    Service(&'static str),
}

impl Origin {
    pub(crate) fn address(&self) -> &str {
        match self {
            Self::Address(address) | Self::Endpoint(address, _) => address,
            Self::Service(service) => service,
        }
    }
}

/// One who acts in one account.
#[derive(Clone, Debug)]
pub(crate) struct Principal {
    pub(crate) class: Classes,
    /// Name of the user or role.
    pub(crate) name: String,
    /// `AIDA…` or `AROA…`; the account id for root.
    pub(crate) id: String,
    pub(crate) account: String,
    /// The name that sessions of the role have.
    pub(crate) session: String,
    /// The long-lived access key of an IAM user.
    pub(crate) key: String,
    pub(crate) origin: Origin,
    pub(crate) agent: &'static str,
}

/// What a principal acts with at the moment.
#[derive(Clone, Debug, Default)]
pub(crate) struct Session {
    /// When it ends; 0 if there is none.
    pub(crate) until: i64,
    pub(crate) key: String,
    /// The `userIdentity` of its records.
    pub(crate) identity: Vec<u8>,
    pub(crate) arn: String,
    /// Whether the sign-in to the console is still to come.
    pub(crate) sign_in: bool,
}

impl Principal {
    /// The principals of one account.
    pub(crate) fn cast(seed: u64, account: &str) -> Vec<Self> {
        let mut dice = Dice::new(mix(seed, 0xca57));
        let mut cast = Vec::new();
        let id = |prefix: &str, dice: &mut Dice| {
            let mut id = prefix.as_bytes().to_vec();
            dice.base32(17, &mut id);
            String::from_utf8(id).expect("base 32 is ASCII")
        };
        let mut add =
            |class, name: String, prefix, session: String, origin, agent, dice: &mut Dice| {
                cast.push(Self {
                    class,
                    name,
                    id: id(prefix, dice),
                    account: account.to_owned(),
                    session,
                    key: if class == USERS { access_key("AKIA", dice) } else { String::new() },
                    origin,
                    agent,
                });
            };
        for (set, suffix) in
            [("AdministratorAccess", "4f1a09c3b7d25e68"), ("ReadOnlyAccess", "9c02e7d15ab8f346")]
        {
            for _ in 0..2 {
                let person = dice.pick(PEOPLE_NAMES);
                let office = office(&mut dice);
                let browser = dice.pick(BROWSERS);
                add(
                    PEOPLE,
                    format!("AWSReservedSSO_{set}_{suffix}"),
                    "AROA",
                    format!("{person}@example.com"),
                    office,
                    browser,
                    &mut dice,
                );
            }
        }
        for app in ["web-api", "order-worker", "ingest-lambda", "report-task", "search-node"] {
            let origin = inside(&mut dice);
            let agent = dice.pick(LIBRARIES);
            let mut session = b"i-0".to_vec();
            dice.hex(16, &mut session);
            let session = match app {
                "ingest-lambda" => "ingest".to_owned(),
                _ => String::from_utf8(session).expect("hexadecimal is ASCII"),
            };
            add(APPS, format!("{app}-role"), "AROA", session, origin, agent, &mut dice);
        }
        let agent = dice.pick(DEPLOYERS);
        add(
            PIPELINE,
            "deploy".to_owned(),
            "AROA",
            "ci-main".to_owned(),
            Origin::Address("203.0.113.200".to_owned()),
            agent,
            &mut dice,
        );
        add(
            AUDITOR,
            "security-audit".to_owned(),
            "AROA",
            "posture-scan".to_owned(),
            Origin::Address("203.0.113.222".to_owned()),
            AUDIT_AGENT,
            &mut dice,
        );
        for (name, session, service) in [
            ("AWSServiceRoleForAutoScaling", "AutoScaling", "autoscaling.amazonaws.com"),
            ("AWSServiceRoleForConfig", "AWSConfig-Describe", "config.amazonaws.com"),
            ("AWSServiceRoleForECS", "ecs-service-scheduler", "ecs.amazonaws.com"),
        ] {
            add(
                SERVICES,
                name.to_owned(),
                "AROA",
                session.to_owned(),
                Origin::Service(service),
                service,
                &mut dice,
            );
        }
        for name in ["svc-backup", "svc-billing-export", "dana.legacy"] {
            let office = office(&mut dice);
            let agent = dice.pick(USER_AGENTS);
            add(USERS, name.to_owned(), "AIDA", String::new(), office, agent, &mut dice);
        }
        let home = office(&mut dice);
        let browser = dice.pick(BROWSERS);
        add(ROOT, "root".to_owned(), "", String::new(), home, browser, &mut dice);
        cast
    }

    /// The role's ARN, or the user's.
    pub(crate) fn arn(&self) -> String {
        let account = &self.account;
        match self.class {
            USERS => format!("arn:aws:iam::{account}:user/{}", self.name),
            ROOT => format!("arn:aws:iam::{account}:root"),
            PEOPLE => {
                format!("arn:aws:iam::{account}:role/aws-reserved/sso.amazonaws.com/{}", self.name)
            }
            SERVICES => format!(
                "arn:aws:iam::{account}:role/aws-service-role/{}/{}",
                self.origin.address(),
                self.name
            ),
            _ => format!("arn:aws:iam::{account}:role/{}", self.name),
        }
    }

    /// Whether the principal acts in sessions that somebody has to begin.
    pub(crate) const fn is_role(&self) -> bool {
        !matches!(self.class, USERS | ROOT)
    }

    /// Begins a session with a fresh key (or takes up the user's own).
    pub(crate) fn begin(&self, now: &Stamp, dice: &mut Dice) -> Session {
        let account = &self.account;
        let mut identity = Vec::with_capacity(640);
        if !self.is_role() {
            let arn = self.arn();
            let key = self.key.clone();
            match self.class {
                ROOT => write!(identity, r#"{{"type":"Root","principalId":"{account}","arn":"{arn}","accountId":"{account}","accessKeyId":""}}"#),
                _ => write!(
                    identity,
                    r#"{{"type":"IAMUser","principalId":"{}","arn":"{arn}","accountId":"{account}","accessKeyId":"{key}","userName":"{}"}}"#,
                    self.id, self.name
                ),
            }
            .expect("memory takes what is written");
            return Session { until: i64::MAX, key, identity, arn, sign_in: false };
        }
        let (id, name, session) = (&self.id, &self.name, &self.session);
        let key = access_key("ASIA", dice);
        let arn = format!("arn:aws:sts::{account}:assumed-role/{name}/{session}");
        let role = self.arn();
        let delivery = if session.starts_with("i-") { r#","ec2RoleDelivery":"2.0""# } else { "" };
        let caller = match &self.origin {
            Origin::Service(service) => format!(r#","invokedBy":"{service}""#),
            _ if session == "ingest" => format!(
                r#","inScopeOf":{{"issuerType":"AWS::Lambda::Function","credentialsIssuedTo":"arn:aws:lambda:us-east-1:{account}:function:ingest"}}"#
            ),
            _ => String::new(),
        };
        let time = now.text();
        write!(
            identity,
            r#"{{"type":"AssumedRole","principalId":"{id}:{session}","arn":"{arn}","accountId":"{account}","accessKeyId":"{key}","sessionContext":{{"sessionIssuer":{{"type":"Role","principalId":"{id}","arn":"{role}","accountId":"{account}","userName":"{name}"}},"attributes":{{"creationDate":"{time}","mfaAuthenticated":"false"}}{delivery}}}{caller}}}"#
        )
        .expect("memory takes what is written");
        let secs = if self.class == PEOPLE { PERSON_SESSION_SECS } else { ROLE_SESSION_SECS };
        Session { until: now.second() + secs, key, identity, arn, sign_in: self.class == PEOPLE }
    }
}

/// An access key id with its prefix.
pub(crate) fn access_key(prefix: &str, dice: &mut Dice) -> String {
    let mut key = prefix.as_bytes().to_vec();
    dice.base32(16, &mut key);
    String::from_utf8(key).expect("base 32 is ASCII")
}

fn office(dice: &mut Dice) -> Origin {
    Origin::Address(format!("203.0.113.{}", 10 + dice.below(40)))
}

fn inside(dice: &mut Dice) -> Origin {
    if dice.happens(500) {
        return Origin::Address(format!("192.0.2.{}", 1 + dice.below(60)));
    }
    let address = format!("10.{}.{}.{}", 16 + dice.below(16), dice.below(8), 4 + dice.below(250));
    let mut endpoint = b"vpce-0".to_vec();
    dice.hex(16, &mut endpoint);
    Origin::Endpoint(address, String::from_utf8(endpoint).expect("hexadecimal is ASCII"))
}
