//! Writes one record as CloudTrail writes it: its member order, its spelling.
//!
//! Templates have holes, `%` and one letter. Names of things (`%b` a bucket,
//! `%i` an instance) come from small pools of the account, so that the same
//! things are met again; within one record the same hole is the same thing.
//! Ids (`%U`, `%x`, `%t`) are fresh at every hole.

use std::io::Write as _;

use crate::account::Account;
use crate::action::{Action, Failure, Kind};
use crate::dice::{Dice, mix};
use crate::stamp::Stamp;

const TYPES: &[&str] = &["t4g.medium", "m7g.large", "c7g.xlarge", "r7g.large", "m6i.2xlarge"];
const FUNCTIONS: &[&str] = &[
    "ingest",
    "resize-images",
    "send-invoice",
    "expire-carts",
    "sync-crm",
    "audit-export",
    "rotate-tokens",
    "thumbnailer",
];
const CLUSTERS: &[&str] = &["storefront", "checkout", "search", "reporting"];
const TABLES: &[&str] = &["orders", "carts", "sessions", "inventory", "feature-flags"];
const ENVIRONMENTS: &[&str] = &["prod", "staging", "dev"];
const SECRETS: &[&str] = &[
    "prod/db/orders-Ab3dEf",
    "prod/api/payments-Zx81Qp",
    "staging/db/orders-Lm42Ws",
    "prod/smtp-Rt5Yu7",
];
const PARAMETERS: &[&str] = &[
    "/prod/web/config",
    "/prod/db/url",
    "/staging/web/config",
    "/shared/ami/latest",
    "/prod/feature/flags",
];
const BUCKETS: &[&str] =
    &["assets", "events-raw", "exports", "backups", "build-artifacts", "invoices"];
const PREFIXES: &[&str] =
    &["images", "raw/clicks", "exports/daily", "db", "builds/web", "2026/invoices"];
const USERS: &[&str] = &["svc-backup", "svc-billing-export", "dana.legacy"];

/// Everything that one record says.
pub(crate) struct Draft<'a> {
    pub(crate) account: &'a Account,
    pub(crate) region: &'a str,
    pub(crate) now: &'a Stamp,
    pub(crate) identity: &'a [u8],
    /// The caller's ARN, for messages.
    pub(crate) arn: &'a str,
    pub(crate) address: &'a str,
    pub(crate) endpoint: Option<&'a str>,
    pub(crate) agent: &'a str,
    pub(crate) action: &'a Action,
    pub(crate) failure: Option<Failure>,
    /// The ids that the copies of one action in several accounts share.
    pub(crate) shared: Option<&'a Shared>,
    /// Whether the caller works in the console.
    pub(crate) console: bool,
    /// What fills `%1` to `%6`.
    pub(crate) given: [&'a str; 6],
}

/// The ids that the copies of one action share.
#[derive(Clone, Debug, Default)]
pub(crate) struct Shared {
    pub(crate) event: Vec<u8>,
    pub(crate) request: Vec<u8>,
}

impl Shared {
    pub(crate) fn new(dice: &mut Dice) -> Self {
        let mut shared = Self::default();
        dice.uuid(&mut shared.event);
        dice.uuid(&mut shared.request);
        shared
    }
}

impl Draft<'_> {
    /// Appends the record to `out`, without a line feed.
    pub(crate) fn write(&self, dice: &mut Dice, out: &mut Vec<u8>) {
        let action = self.action;
        let picks = dice.next();
        let kind = action.kind;
        let internal = matches!(kind, Kind::ServiceEvent | Kind::ServiceDataEvent);
        let account = self.account.text.as_bytes();

        out.extend_from_slice(br#"{"eventVersion":"1.11","userIdentity":"#);
        if internal {
            let by = if kind == Kind::ServiceEvent { "AWS Internal" } else { "s3.amazonaws.com" };
            joined(
                out,
                &[br#"{"accountId":""#, account, br#"","invokedBy":""#, by.as_bytes(), br#""}"#],
            );
        } else {
            out.extend_from_slice(self.identity);
        }
        let (address, agent) = match kind {
            Kind::ServiceEvent => ("AWS Internal", "AWS Internal"),
            Kind::ServiceDataEvent => ("s3.amazonaws.com", "s3.amazonaws.com"),
            _ => (self.address, self.agent),
        };
        let brackets = action.service == "s3" && !internal;
        joined(
            out,
            &[
                br#","eventTime":""#,
                self.now.text().as_bytes(),
                br#"","eventSource":""#,
                action.service.as_bytes(),
                br#".amazonaws.com","eventName":""#,
                action.name.as_bytes(),
                br#"","awsRegion":""#,
                self.region.as_bytes(),
                br#"","sourceIPAddress":""#,
                address.as_bytes(),
                br#"","userAgent":""#,
                if brackets { b"[" } else { b"" },
                agent.as_bytes(),
                if brackets { br#"]""# } else { b"\"" },
            ],
        );
        if let Some((code, message)) = self.failure {
            if !code.is_empty() {
                joined(out, &[br#","errorCode":""#, code.as_bytes(), b"\""]);
            }
            out.extend_from_slice(br#","errorMessage":""#);
            self.fill(message, picks, dice, out);
            out.push(b'"');
        }
        if kind != Kind::Network {
            out.extend_from_slice(br#","requestParameters":"#);
            self.fill(action.request, picks, dice, out);
            out.extend_from_slice(br#","responseElements":"#);
            match (self.failure, kind) {
                (failure, Kind::SignIn) => {
                    let word: &[u8] = if failure.is_some() { b"Failure" } else { b"Success" };
                    joined(out, &[br#"{"ConsoleLogin":""#, word, br#""}"#]);
                }
                (Some(_), _) => out.extend_from_slice(b"null"),
                (None, _) => self.fill(action.response, picks, dice, out),
            }
        }
        if kind == Kind::SignIn {
            let mfa: &[u8] = if self.console { b"Yes" } else { b"No" };
            joined(out, &[
                br#","additionalEventData":{"LoginTo":"https://console.aws.amazon.com/console/home?hashArgs=%23&isauthcode=true&nc2=h_si&src=header-signin","MobileVersion":"No","MFAUsed":""#,
                mfa, br#""}"#,
            ]);
        } else if !action.additional.is_empty() {
            out.extend_from_slice(br#","additionalEventData":"#);
            self.fill(action.additional, picks, dice, out);
        }
        self.ids(dice, out);
        if kind != Kind::Network {
            out.extend_from_slice(if action.read_only {
                br#","readOnly":true"#
            } else {
                br#","readOnly":false"#
            });
        }
        if !action.resources.is_empty() {
            out.extend_from_slice(br#","resources":"#);
            self.fill(action.resources, picks, dice, out);
        }
        let (event_type, category, management): (&[u8], &[u8], &[u8]) = match kind {
            Kind::Management => (b"AwsApiCall", b"Management", b"true"),
            Kind::Data => (b"AwsApiCall", b"Data", b"false"),
            Kind::SignIn => (b"AwsConsoleSignIn", b"Management", b"true"),
            Kind::ServiceEvent => (b"AwsServiceEvent", b"Management", b"true"),
            Kind::ServiceDataEvent => (b"AwsServiceEvent", b"Data", b"false"),
            Kind::Network => (b"AwsVpceEvent", b"NetworkActivity", b""),
        };
        joined(out, &[br#","eventType":""#, event_type, b"\""]);
        if !action.api_version.is_empty() && kind == Kind::Management {
            joined(out, &[br#","apiVersion":""#, action.api_version.as_bytes(), b"\""]);
        }
        if kind != Kind::Network {
            joined(out, &[br#","managementEvent":"#, management]);
        }
        joined(out, &[br#","recipientAccountId":""#, account, b"\""]);
        if let Some(shared) = self.shared {
            joined(out, &[br#","sharedEventID":""#, &shared.event, b"\""]);
        } else if kind == Kind::Network {
            out.extend_from_slice(br#","sharedEventID":""#);
            dice.uuid(out);
            out.push(b'"');
        }
        let direct = !internal && !address.ends_with(".amazonaws.com");
        match self.endpoint {
            Some(endpoint) if direct => joined(
                out,
                &[
                    br#","vpcEndpointId":""#,
                    endpoint.as_bytes(),
                    br#"","vpcEndpointAccountId":""#,
                    account,
                    b"\"",
                ],
            ),
            _ if kind == Kind::Network => joined(
                out,
                &[
                    br#","vpcEndpointId":"vpce-0a1b2c3d4e5f60718","vpcEndpointAccountId":""#,
                    account,
                    b"\"",
                ],
            ),
            _ => {}
        }
        if !action.details.is_empty() {
            out.extend_from_slice(br#","serviceEventDetails":"#);
            self.fill(action.details, picks, dice, out);
        }
        joined(out, &[br#","eventCategory":""#, category, b"\""]);
        if direct && kind != Kind::Network {
            self.tls(picks, dice, out);
            if self.console && kind != Kind::SignIn {
                out.extend_from_slice(br#","sessionCredentialFromConsole":"true""#);
            }
        }
        out.push(b'}');
    }

    fn ids(&self, dice: &mut Dice, out: &mut Vec<u8>) {
        if self.action.kind != Kind::SignIn {
            out.extend_from_slice(br#","requestID":""#);
            match self.shared {
                Some(shared) => out.extend_from_slice(&shared.request),
                None if self.action.service == "s3" => dice.base32(16, out),
                None => dice.uuid(out),
            }
            out.push(b'"');
        }
        out.extend_from_slice(br#","eventID":""#);
        dice.uuid(out);
        out.push(b'"');
    }

    fn tls(&self, picks: u64, dice: &mut Dice, out: &mut Vec<u8>) {
        out.extend_from_slice(br#","tlsDetails":{"tlsVersion":"TLSv1.3","cipherSuite":"TLS_AES_128_GCM_SHA256","clientProvidedHostHeader":""#);
        let service = self.action.service;
        match service {
            "signin" => joined(out, &[self.region.as_bytes(), b".signin.aws.amazon.com"]),
            _ if !self.action.host.is_empty() => self.fill(self.action.host, picks, dice, out),
            _ if self.action.is_global() => joined(out, &[service.as_bytes(), b".amazonaws.com"]),
            _ => {
                joined(out, &[service.as_bytes(), b".", self.region.as_bytes(), b".amazonaws.com"])
            }
        }
        let exchange = match picks & 7 {
            0 => r#"","keyExchange":"X25519MLKEM768"}"#,
            1..3 => r#"","keyExchange":"x25519"}"#,
            _ => r#""}"#,
        };
        out.extend_from_slice(exchange.as_bytes());
    }

    fn fill(&self, template: &str, picks: u64, dice: &mut Dice, out: &mut Vec<u8>) {
        let mut rest = template;
        while let Some((text, hole)) = rest.split_once('%') {
            out.extend_from_slice(text.as_bytes());
            let mut letters = hole.chars();
            if let Some(letter) = letters.next() {
                self.hole(letter, picks, dice, out);
            }
            rest = letters.as_str();
        }
        out.extend_from_slice(rest.as_bytes());
    }

    fn hole(&self, letter: char, picks: u64, dice: &mut Dice, out: &mut Vec<u8>) {
        let seed = self.account.seed;
        // The thing's number in its pool, the same throughout this record.
        let mut same = Dice::new(mix(picks, u64::from(u32::from(letter))));
        // The thing's name, the same whenever the account meets it.
        let pooled = |size: usize, same: &mut Dice| {
            let number = same.below(size) as u64;
            Dice::new(mix(mix(seed, u64::from(u32::from(letter))), number))
        };
        let mut word = |words: &[&str]| out.extend_from_slice(same.pick(words).as_bytes());
        match letter {
            'A' => out.extend_from_slice(self.account.text.as_bytes()),
            'R' => out.extend_from_slice(self.region.as_bytes()),
            'S' => out.extend_from_slice(self.action.service.as_bytes()),
            'E' => out.extend_from_slice(self.action.name.as_bytes()),
            'P' => out.extend_from_slice(self.arn.as_bytes()),
            'T' => out.extend_from_slice(self.now.text().as_bytes()),
            'D' => {
                let date = self.now.text().get(..10).unwrap_or_default().replace('-', "/");
                out.extend_from_slice(date.as_bytes());
            }
            '1'..='6' => {
                let at = letter.to_digit(10).map_or(0, |digit| digit as usize - 1);
                out.extend_from_slice(self.given.get(at).copied().unwrap_or_default().as_bytes());
            }
            'e' => word(ENVIRONMENTS),
            'q' => word(TYPES),
            'f' => word(FUNCTIONS),
            'c' => word(CLUSTERS),
            'm' => word(TABLES),
            's' => word(SECRETS),
            'p' => word(PARAMETERS),
            'u' => word(USERS),
            'r' => {
                word(FUNCTIONS);
                out.extend_from_slice(b"-role");
            }
            'b' => {
                out.extend_from_slice(self.account.name.as_bytes());
                out.push(b'-');
                out.extend_from_slice(same.pick(BUCKETS).as_bytes());
                out.push(b'-');
                out.extend_from_slice(self.account.text.get(8..).unwrap_or_default().as_bytes());
            }
            'k' => {
                out.extend_from_slice(same.pick(PREFIXES).as_bytes());
                out.push(b'/');
                pooled(20_000, &mut same).hex(12, out);
                out.extend_from_slice(b".parquet");
            }
            'K' => pooled(6, &mut same).uuid(out),
            'i' => named(out, b"i-0", &mut pooled(120, &mut same)),
            'g' => named(out, b"sg-0", &mut pooled(30, &mut same)),
            'v' => named(out, b"vpc-0", &mut pooled(4, &mut same)),
            'z' => named(out, b"subnet-0", &mut pooled(12, &mut same)),
            'h' => same.hex(16, out),
            'd' => same.base32(16, out),
            'U' => dice.uuid(out),
            'x' => {
                dice.base64(75, out);
                out.push(b'=');
            }
            'y' => {
                dice.base64(43, out);
                out.push(b'=');
            }
            't' => {
                let size = 200 + dice.below(200);
                dice.base64(size, out);
            }
            'n' => number(out, 1 + same.below(240)),
            'N' => {
                let magnitude = 1_000 << same.below(14);
                number(out, magnitude + same.below(magnitude));
            }
            'M' => {
                number(out, usize::try_from(self.now.second()).unwrap_or_default());
                out.extend_from_slice(b"000");
            }
            _ => debug_assert!(false, "a hole %{letter} that nothing fills"),
        }
    }
}

fn named(out: &mut Vec<u8>, prefix: &[u8], dice: &mut Dice) {
    out.extend_from_slice(prefix);
    dice.hex(16, out);
}

fn number(out: &mut Vec<u8>, number: usize) {
    write!(out, "{number}").expect("memory takes what is written");
}

fn joined(out: &mut Vec<u8>, parts: &[&[u8]]) {
    for part in parts {
        out.extend_from_slice(part);
    }
}
