//! Records that no service would write, and some that one might.

use super::json::Json;

/// Random numbers from a seed (xorshift).
pub(crate) struct Dice(u64);

impl Dice {
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed ^ 0x9e37_79b9_7f4a_7c15)
    }

    pub(crate) fn below(&mut self, sides: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from(self.0 >> 33).expect("31 bits") % sides
    }

    fn one_of<'a>(&mut self, choices: &[&'a str]) -> &'a str {
        choices[self.below(choices.len())]
    }
}

const RECORDS: [&str; 6] = [
    r#"{"eventVersion":"1.11","userIdentity":{"type":"AssumedRole","principalId":"AROAEXAMPLE:me","arn":"arn:aws:sts::111111111111:assumed-role/Admin/me","accountId":"111111111111","accessKeyId":"ASIAEXAMPLE","sessionContext":{"sessionIssuer":{"type":"Role","principalId":"AROAEXAMPLE","arn":"arn:aws:iam::111111111111:role/Admin","accountId":"111111111111","userName":"Admin"},"webIdFederationData":{"federatedProvider":"cognito-identity.amazonaws.com","attributes":{"aud":"us-east-1:x"}},"attributes":{"creationDate":"2026-11-20T10:00:00Z","mfaAuthenticated":"true"},"sourceIdentity":"me","ec2RoleDelivery":"2.0","assumedRoot":"true"},"invokedBy":"AWS Internal","inScopeOf":{"sourceArn":"arn","sourceAccount":"1","issuerType":"AWS::Lambda::Function","credentialsIssuedTo":"arn"},"onBehalfOf":{"userId":"u","identityStoreArn":"arn"},"invokedByDelegate":{"accountId":"222222222222"},"identityProvider":"x","credentialId":"y"},"eventTime":"2026-11-20T10:00:01Z","eventSource":"ec2.amazonaws.com","eventName":"RunInstances","awsRegion":"eu-west-1","sourceIPAddress":"203.0.113.9","userAgent":"[aws-cli/2.9]","requestParameters":{"instancesSet":{"items":[{"imageId":"ami-1","minCount":1}]},"ratio":1.50,"big":123456789012345678901234567890},"responseElements":null,"requestID":"r","eventID":"e","readOnly":false,"eventType":"AwsApiCall","managementEvent":true,"recipientAccountId":"111111111111","eventCategory":"Management","tlsDetails":{"tlsVersion":"TLSv1.3","cipherSuite":"TLS_AES_128_GCM_SHA256","clientProvidedHostHeader":"ec2.eu-west-1.amazonaws.com","keyExchange":"X25519MLKEM768"},"sessionCredentialFromConsole":"true"}"#,
    r#"{"eventVersion":"1.08","userIdentity":{"accountId":"111111111111","invokedBy":"AWS Internal"},"eventTime":"2023-07-10T01:42:00Z","eventSource":"s3.amazonaws.com","eventName":"GetObject","awsRegion":"us-east-1","sourceIPAddress":"AWS Internal","errorCode":"AccessDenied","errorMessage":"Access \"Denied\"\n\u00e9","requestParameters":{"bucketName":"b","key":"\ud83d\ude00"},"responseElements":{},"additionalEventData":{"bytesTransferredIn":0,"x-amz-id-2":"abc="},"resources":[{"type":"AWS::S3::Object","ARN":"arn:aws:s3:::b/k"},{"accountId":"111111111111","type":"AWS::S3::Bucket","ARNPrefix":"arn:aws:s3:::b/"}],"eventType":"AwsServiceEvent","serviceEventDetails":{"a":[]},"sharedEventID":"s","vpcEndpointId":"vpce-1","vpcEndpointAccountId":"111111111111","edgeDeviceDetails":[{"type":"x"}],"addendum":{"reason":"DELIVERY_DELAY"},"eventContext":{"tagContext":{}},"annotation":"a","apiVersion":"2006-03-01"}"#,
    r#"{"eventVersion":"1.08","eventTime":"2023-07-10T01:42:00Z","awsRegion":"us-east-1","eventID":"e","eventType":"AwsCloudTrailInsight","recipientAccountId":"111111111111","insightDetails":{"state":"Start","insightContext":{"statistics":{"baseline":{"average":0.0020491803}}}},"eventCategory":"Insight"}"#,
    r#"{"eventVersion":"1.0","accountId":"111111111111","eventId":"e","eventCategory":"Aggregated","eventType":"AwsAggregatedEvent","awsRegion":"us-east-1","eventSource":"s3.amazonaws.com","timeWindow":{"windowStart":"2026-01-01T00:00:00Z","windowSize":"PT5M"},"summary":{"details":[]}}"#,
    r#"{"eventVersion":"1.09","eventCategory":"ActivityAuditLog","eventType":"ActivityLog","eventID":"e","eventTime":"2026-01-01T00:00:00Z","awsRegion":"us-east-1","recipientAccountId":"111111111111","metadata":{"ingestionTime":"x"},"eventData":{"version":"1","userIdentity":{"type":"t","details":{}},"UID":"u"}}"#,
    r#"{"eventName":"a","eventSource":"b"}"#,
];

const VALUES: [&str; 40] = [
    "null",
    "true",
    "false",
    "0",
    "-0",
    "1.0",
    "1E5",
    "1e5",
    "0.10",
    "123456789012345678901234567890",
    "-1e-999",
    r#""""#,
    r#""a""#,
    r#""true""#,
    r#""false""#,
    r#""null""#,
    r#""111111111111""#,
    r#""12345""#,
    r#""\ud800""#,
    r#""\udc00\ud800""#,
    r#""\u0000""#,
    r#""\u0041\/\b\f\n\r\t\"\\""#,
    r#""\ud83d\ude00""#,
    "\"\u{1f600}\u{202e}\"",
    "\"\u{7f}\u{80}\"",
    "{}",
    "[]",
    "[{}]",
    "[null]",
    "[{},null,[]]",
    r#"{"a":1,"a":2}"#,
    r#"{"type":null}"#,
    r#"[{"ARN":"x","ARN":"y"}]"#,
    r#"[{"ARN":null}]"#,
    r#""2026-01-01T00:00:00.000Z""#,
    r#""2026-01-01T00:00:00+01:00""#,
    r#""2026-01-01t00:00:00z""#,
    r#""0000-01-01T00:00:00Z""#,
    r#""9999-12-31T23:59:59Z""#,
    r#""2026-01-01T00:00\u003a00Z""#,
];

const KEYS: [&str; 24] = [
    "",
    "eventName",
    "EventName",
    "eventID",
    "eventId",
    "eventid",
    "userIdentity",
    "useridentity",
    "type",
    "ARN",
    "arn",
    "accountId",
    "sessionContext",
    "attributes",
    "event\\u0054ime",
    "\\ud800",
    "a.b",
    "a,b",
    "nulls",
    "unmapped",
    "account",
    "\\\"",
    "\\\\",
    "\u{e9}",
];

/// A record with a few random changes.
pub(crate) fn record(dice: &mut Dice) -> Vec<u8> {
    let mut record = Json::parse(RECORDS[dice.below(RECORDS.len())].as_bytes());
    for _ in 0..dice.below(6) {
        change(&mut record, dice);
    }
    let mut text = Vec::new();
    record.write(&mut text);
    text
}

fn value(dice: &mut Dice) -> Json {
    Json::parse(dice.one_of(&VALUES).as_bytes())
}

fn change(json: &mut Json, dice: &mut Dice) {
    match json {
        Json::Object(members) if !members.is_empty() => {
            let index = dice.below(members.len());
            match dice.below(12) {
                0..5 => change(&mut members[index].1, dice),
                5 => members[index].1 = value(dice),
                6 => members.insert(index, (dice.one_of(&KEYS).into(), value(dice))),
                7 => {
                    let (key, _) = members[index].clone();
                    members.insert(dice.below(index + 1), (key, value(dice)));
                }
                8 => {
                    let again = members[index].clone();
                    members.push(again);
                }
                9 => members.swap(0, index),
                10 => {
                    members.remove(index);
                }
                _ => escape_key(&mut members[index].0, dice),
            }
        }
        Json::Object(members) => members.push((dice.one_of(&KEYS).into(), value(dice))),
        Json::Array(values) if !values.is_empty() => {
            let index = dice.below(values.len());
            match dice.below(4) {
                0 => values.push(value(dice)),
                1 => {
                    values.remove(index);
                }
                _ => change(&mut values[index], dice),
            }
        }
        plain => *plain = value(dice),
    }
}

/// The same name, one of its letters written as an escape.
fn escape_key(key: &mut Vec<u8>, dice: &mut Dice) {
    if key.is_empty() || key.contains(&b'\\') || !key.is_ascii() {
        return;
    }
    let index = dice.below(key.len());
    let escape = format!("\\u{:04x}", key[index]);
    key.splice(index..=index, escape.into_bytes());
}
