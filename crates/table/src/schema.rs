//! The table's columns, derived from one description of a record.
//!
//! `RECORD` says of every member of a CloudTrail record which column holds it
//! and in what shape; the Arrow schema, the way from a record to a row and the
//! way back are all read from it, so that they cannot disagree. Names are
//! CloudTrail's in lower case, as in Athena's CloudTrail table. What a column
//! cannot hold goes to `unmapped` (see `row`); `docs/schema.md` tells users.
//!
//! No column of a partition file is called `account`, `region` or `date`:
//! readers that take these from the path would fail or pick one of the two.
//!
//! A member may be appended to `RECORD`; then `ROW_FORMAT_VERSION` grows,
//! because an open intent must be finished with the rules it pinned.

use std::sync::{Arc, LazyLock};

use arrow::datatypes::{DataType, Field, Fields, Schema, SchemaRef, TimeUnit};

/// Version of the rules by which records become rows.
///
/// 1. Every record is a row.
/// 2. One event is one row; the table keeps the keys of events.
/// 3. Rows list what they name (`indicators`).
///
/// The list follows from a row's other columns, so what began under version 1 or 2 is
/// finished with it too: the rows are the same as far as those versions say anything of
/// them, and which process put a file decides no more than it did before, since what is
/// committed is the file that lies there.
pub const ROW_FORMAT_VERSION: u32 = 3;

/// The oldest version by whose rules an open intent can still be finished.
pub(crate) const ROW_FORMAT_VERSION_MIN: u32 = 1;

/// One member of a JSON object that has a column of its own.
#[derive(Debug)]
pub(crate) struct Member {
    /// The member's name in the record.
    pub(crate) key: &'static str,
    /// The column's (or struct field's) name.
    pub(crate) column: &'static str,
    /// What the column can hold.
    pub(crate) shape: Shape,
}

/// What a column can hold.
#[derive(Debug)]
pub(crate) enum Shape {
    /// A JSON string, held as its text.
    Text,
    /// Any JSON value but null, held as its bytes in the record.
    Json,
    /// `true` or `false`.
    Boolean,
    /// A string that is a time, held as UTC microseconds.
    Time,
    /// An object with these members.
    Struct(&'static [Member]),
    /// An array of objects with these members.
    List(&'static [Member]),
}

const fn text(key: &'static str, column: &'static str) -> Member {
    Member { key, column, shape: Shape::Text }
}

const fn json(key: &'static str, column: &'static str) -> Member {
    Member { key, column, shape: Shape::Json }
}

const fn boolean(key: &'static str, column: &'static str) -> Member {
    Member { key, column, shape: Shape::Boolean }
}

const fn object(key: &'static str, column: &'static str, members: &'static [Member]) -> Member {
    Member { key, column, shape: Shape::Struct(members) }
}

/// A record: every field of the record contract, in the order of the columns.
pub(crate) const RECORD: &[Member] = &[
    text("eventVersion", "eventversion"),
    object("userIdentity", "useridentity", USER_IDENTITY),
    Member { key: "eventTime", column: "eventtime", shape: Shape::Time },
    text("eventSource", "eventsource"),
    text("eventName", "eventname"),
    text("awsRegion", "awsregion"),
    text("sourceIPAddress", "sourceipaddress"),
    text("userAgent", "useragent"),
    text("errorCode", "errorcode"),
    text("errorMessage", "errormessage"),
    json("requestParameters", "requestparameters"),
    json("responseElements", "responseelements"),
    json("additionalEventData", "additionaleventdata"),
    text("requestID", "requestid"),
    text("eventID", "eventid"),
    boolean("readOnly", "readonly"),
    Member { key: "resources", column: "resources", shape: Shape::List(RESOURCE) },
    text("eventType", "eventtype"),
    text("apiVersion", "apiversion"),
    boolean("managementEvent", "managementevent"),
    text("recipientAccountId", "recipientaccountid"),
    json("serviceEventDetails", "serviceeventdetails"),
    text("sharedEventID", "sharedeventid"),
    text("vpcEndpointId", "vpcendpointid"),
    text("vpcEndpointAccountId", "vpcendpointaccountid"),
    text("eventCategory", "eventcategory"),
    json("addendum", "addendum"),
    text("sessionCredentialFromConsole", "sessioncredentialfromconsole"),
    json("edgeDeviceDetails", "edgedevicedetails"),
    object("tlsDetails", "tlsdetails", TLS_DETAILS),
    json("eventContext", "eventcontext"),
    text("annotation", "annotation"),
    json("insightDetails", "insightdetails"),
    // aggregated events: `eventId` is another member than `eventID`
    text("accountId", "accountid"),
    text("eventId", "aggregatedeventid"),
    json("timeWindow", "timewindow"),
    json("summary", "summary"),
    // events of integrations
    json("metadata", "metadata"),
    json("eventData", "eventdata"),
];

/// A member of `RECORD` that decides something beside its own column.
#[derive(Clone, Copy, Debug)]
pub(crate) struct MemberOf(usize);

impl MemberOf {
    pub(crate) const EVENT_VERSION: Self = Self::named("eventVersion");
    pub(crate) const EVENT_ID: Self = Self::named("eventID");
    pub(crate) const USER_IDENTITY: Self = Self::named("userIdentity");
    pub(crate) const EVENT_TIME: Self = Self::named("eventTime");
    pub(crate) const EVENT_SOURCE: Self = Self::named("eventSource");
    pub(crate) const EVENT_NAME: Self = Self::named("eventName");
    pub(crate) const AWS_REGION: Self = Self::named("awsRegion");
    pub(crate) const RECIPIENT_ACCOUNT_ID: Self = Self::named("recipientAccountId");

    pub(crate) const fn index(self) -> usize {
        self.0
    }

    /// Looked up while compiling: a name that is not there does not compile.
    const fn named(name: &str) -> Self {
        Self(index_of(RECORD, name))
    }
}

/// `userIdentity.accountId` among the members of `userIdentity`.
pub(crate) const IDENTITY_ACCOUNT: usize = index_of(USER_IDENTITY, "accountId");

#[expect(clippy::indexing_slicing, reason = "evaluated by the compiler")]
const fn index_of(members: &[Member], name: &str) -> usize {
    let mut index = 0;
    while !same(members[index].key, name) {
        index += 1;
    }
    index
}

#[expect(clippy::indexing_slicing, reason = "evaluated by the compiler")]
const fn same(one: &str, other: &str) -> bool {
    let (one, other) = (one.as_bytes(), other.as_bytes());
    let mut index = 0;
    while index < one.len() && index < other.len() && one[index] == other[index] {
        index += 1;
    }
    index == one.len() && index == other.len()
}

const USER_IDENTITY: &[Member] = &[
    text("type", "type"),
    text("principalId", "principalid"),
    text("arn", "arn"),
    text("accountId", "accountid"),
    text("accessKeyId", "accesskeyid"),
    text("userName", "username"),
    object("sessionContext", "sessioncontext", SESSION_CONTEXT),
    text("invokedBy", "invokedby"),
    object("invokedByDelegate", "invokedbydelegate", &[text("accountId", "accountid")]),
    text("identityProvider", "identityprovider"),
    text("credentialId", "credentialid"),
    object(
        "onBehalfOf",
        "onbehalfof",
        &[text("userId", "userid"), text("identityStoreArn", "identitystorearn")],
    ),
    object(
        "inScopeOf",
        "inscopeof",
        &[
            text("sourceArn", "sourcearn"),
            text("sourceAccount", "sourceaccount"),
            text("issuerType", "issuertype"),
            text("credentialsIssuedTo", "credentialsissuedto"),
        ],
    ),
];

const SESSION_CONTEXT: &[Member] = &[
    object(
        "attributes",
        "attributes",
        &[text("creationDate", "creationdate"), text("mfaAuthenticated", "mfaauthenticated")],
    ),
    object(
        "sessionIssuer",
        "sessionissuer",
        &[
            text("type", "type"),
            text("principalId", "principalid"),
            text("arn", "arn"),
            text("accountId", "accountid"),
            text("userName", "username"),
        ],
    ),
    object(
        "webIdFederationData",
        "webidfederationdata",
        &[text("federatedProvider", "federatedprovider"), json("attributes", "attributes")],
    ),
    text("sourceIdentity", "sourceidentity"),
    text("ec2RoleDelivery", "ec2roledelivery"),
    text("ec2IssuedInVpc", "ec2issuedinvpc"),
    text("assumedRoot", "assumedroot"),
];

const TLS_DETAILS: &[Member] = &[
    text("tlsVersion", "tlsversion"),
    text("cipherSuite", "ciphersuite"),
    text("clientProvidedHostHeader", "clientprovidedhostheader"),
    text("keyExchange", "keyexchange"),
];

const RESOURCE: &[Member] = &[
    text("ARN", "arn"),
    text("ARNPrefix", "arnprefix"),
    text("accountId", "accountid"),
    text("type", "type"),
];

/// What the record's columns cannot hold: JSON text (see `row`).
pub const UNMAPPED: &str = "unmapped";
/// The mapped members that the record holds as `null`, comma-separated.
pub const NULLS: &str = "nulls";
/// The placement rules that had to depart from the ordinary, comma-separated.
pub const ANOMALIES: &str = "anomalies";
/// Account and name of the agent that delivered the record.
pub const AGENT: &str = "orgtrail_agent";
/// Number of the journal's commit record that holds the record.
pub const JOURNAL_RECORD: &str = "orgtrail_record";
/// The record's row (from 0) in that commit record's segment.
pub const JOURNAL_ROW: &str = "orgtrail_row";

/// What the row names (see `indicators`): files of earlier releases have no such column.
pub const INDICATORS: &str = "indicators";

/// Columns that hold JSON objects whose members no column has: what was asked and answered.
pub const JSON_COLUMNS: [&str; 4] =
    ["requestparameters", "responseelements", "additionaleventdata", "serviceeventdetails"];

/// The partition keys, which only fresh files hold as columns, last.
pub const PARTITION_KEYS: [&str; 3] = ["account", "region", "date"];

/// The schema of a partition file.
#[must_use]
pub fn schema() -> SchemaRef {
    static SCHEMA: LazyLock<SchemaRef> =
        LazyLock::new(|| Arc::new(Schema::new(partition_fields())));
    Arc::clone(&SCHEMA)
}

/// The schema of a fresh file: a partition file's, then `account`, `region`
/// and `date` (text, text, a date), as a Hive path would give them.
#[must_use]
pub fn fresh_schema() -> SchemaRef {
    static SCHEMA: LazyLock<SchemaRef> = LazyLock::new(|| {
        let [account, region, date] = PARTITION_KEYS;
        let mut fields = partition_fields();
        fields.push(Field::new(account, DataType::Utf8, false));
        fields.push(Field::new(region, DataType::Utf8, false));
        fields.push(Field::new(date, DataType::Date32, false));
        Arc::new(Schema::new(fields))
    });
    Arc::clone(&SCHEMA)
}

fn partition_fields() -> Vec<Field> {
    let mut fields = record_fields();
    fields.push(indicators_field());
    fields
}

pub(crate) fn indicators_field() -> Field {
    let element = Field::new("element", DataType::Utf8, true);
    Field::new(INDICATORS, DataType::List(Arc::new(element)), true)
}

/// What a record alone says, which is all that files of earlier releases hold.
pub(crate) fn record_schema() -> SchemaRef {
    static SCHEMA: LazyLock<SchemaRef> = LazyLock::new(|| Arc::new(Schema::new(record_fields())));
    Arc::clone(&SCHEMA)
}

fn record_fields() -> Vec<Field> {
    let mut fields: Vec<Field> = RECORD.iter().map(field).collect();
    fields.push(Field::new(UNMAPPED, DataType::Utf8, true));
    fields.push(Field::new(NULLS, DataType::Utf8, true));
    fields.push(Field::new(ANOMALIES, DataType::Utf8, true));
    fields.push(Field::new(AGENT, DataType::Utf8, false));
    fields.push(Field::new(JOURNAL_RECORD, DataType::Int64, false));
    fields.push(Field::new(JOURNAL_ROW, DataType::Int64, false));
    fields
}

fn field(member: &Member) -> Field {
    Field::new(member.column, data_type(&member.shape), true)
}

pub(crate) fn data_type(shape: &Shape) -> DataType {
    match shape {
        Shape::Text | Shape::Json => DataType::Utf8,
        Shape::Boolean => DataType::Boolean,
        Shape::Time => DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into())),
        Shape::Struct(members) => DataType::Struct(struct_fields(members)),
        Shape::List(members) => DataType::List(Arc::new(Field::new(
            "element",
            DataType::Struct(struct_fields(members)),
            true,
        ))),
    }
}

pub(crate) fn struct_fields(members: &'static [Member]) -> Fields {
    members.iter().map(field).collect()
}

#[cfg(test)]
mod tests;
