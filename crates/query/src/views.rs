//! The table as others show it: views whose names and columns are theirs.
//!
//! - `cloudtrail_logs`: the CloudTrail table that Athena's documentation creates,
//!   with its columns, types and order; then the partition keys that its variants
//!   use, which `SELECT *` shows in Athena too.
//! - `cloudtrail`: the same with the partition keys `date_partition`,
//!   `region_partition` and `account_partition`.
//! - `cloudtrail_lake`: an event data store: open objects are maps, and `eventjson`
//!   is the whole record.
//!
//! Each is written once and said in the words of each engine (`words`): of ours,
//! where they are made of functions and cost what their used columns cost, and of
//! those that read the files without us (`ddl`).

mod words;

use std::sync::Arc;

use datafusion::common::Result;
use datafusion::datasource::ViewTable;
use datafusion::prelude::SessionContext;

pub(crate) use words::Words;

/// The table itself.
pub(crate) const EVENTS: &str = "events";
/// Athena's table.
pub(crate) const LOGS: &str = "cloudtrail_logs";
/// An event data store.
pub(crate) const LAKE: &str = "cloudtrail_lake";
/// Athena's table with partition keys of its own.
pub(crate) const PARTITIONED: &str = "cloudtrail";

/// All names that a question can ask.
pub(crate) const TABLES: &[&str] = &[EVENTS, LOGS, LAKE, PARTITIONED];

/// Registers the view of this name, if it is one.
pub(crate) async fn register(context: &SessionContext, name: &str) -> Result<()> {
    let Some(sql) = select(name, Words::DataFusion, EVENTS) else { return Ok(()) };
    let plan = context.state().create_logical_plan(&sql).await?;
    context.register_table(name, Arc::new(ViewTable::new(plan, None)))?;
    Ok(())
}

/// What a column of a view is made of.
#[derive(Clone, Copy)]
enum Column {
    /// The column of that name.
    Same(&'static str),
    /// Another column, or a part of one.
    Member(&'static str, &'static str),
    /// A struct of these.
    Struct(&'static str, &'static [Column]),
    /// A time as text.
    Iso(&'static str),
    /// A truth as text.
    Truth(&'static str),
    /// A JSON object as a map, from another column or a part of one.
    Map(&'static str, &'static str),
    /// A member of a JSON object: name, column, key.
    Json(&'static str, &'static str, &'static str),
    /// Athena's fields of resources.
    Resources(&'static str),
    /// The day as text: name, and a format in `strftime`'s words.
    Day(&'static str, &'static str),
    /// The whole record.
    Record(&'static str),
    /// Its hash.
    RecordHash(&'static str),
}

use Column::{Day, Iso, Json, Map, Member, Record, RecordHash, Resources, Same, Struct, Truth};

impl Column {
    const fn name(&self) -> &'static str {
        match self {
            Same(name)
            | Member(name, _)
            | Struct(name, _)
            | Iso(name)
            | Truth(name)
            | Map(name, _)
            | Json(name, ..)
            | Resources(name)
            | Day(name, _)
            | Record(name)
            | RecordHash(name) => name,
        }
    }
}

/// The SELECT that makes a view of `table`, where its name is one.
pub(crate) fn select(view: &str, words: Words, table: &str) -> Option<String> {
    let columns: Vec<&Column> = match view {
        LOGS => LOGS_COLUMNS.iter().chain(LOGS_KEYS).collect(),
        PARTITIONED => LOGS_COLUMNS.iter().chain(PARTITIONED_KEYS).collect(),
        LAKE => LAKE_COLUMNS.iter().filter(|column| words.has(column)).collect(),
        _ => return None,
    };
    let columns: Vec<String> = columns
        .into_iter()
        .map(|column| match words.column(column, 1) {
            made if made == column.name() => format!("  {made}"),
            made => format!("  {made} AS {}", words.quoted(column.name())),
        })
        .collect();
    Some(format!("SELECT\n{}\nFROM {table}", columns.join(",\n")))
}

const LOGS_COLUMNS: &[Column] = &[
    Same("eventversion"),
    Struct(
        "useridentity",
        &[
            Member("type", "useridentity.type"),
            Member("principalid", "useridentity.principalid"),
            Member("arn", "useridentity.arn"),
            Member("accountid", "useridentity.accountid"),
            Member("invokedby", "useridentity.invokedby"),
            Member("accesskeyid", "useridentity.accesskeyid"),
            Member("username", "useridentity.username"),
            Struct(
                "onbehalfof",
                &[
                    Member("userid", "useridentity.onbehalfof.userid"),
                    Member("identitystorearn", "useridentity.onbehalfof.identitystorearn"),
                ],
            ),
            Struct(
                "sessioncontext",
                &[
                    Struct(
                        "attributes",
                        &[
                            Member(
                                "mfaauthenticated",
                                "useridentity.sessioncontext.attributes.mfaauthenticated",
                            ),
                            Member(
                                "creationdate",
                                "useridentity.sessioncontext.attributes.creationdate",
                            ),
                        ],
                    ),
                    Struct(
                        "sessionissuer",
                        &[
                            Member("type", "useridentity.sessioncontext.sessionissuer.type"),
                            Member(
                                "principalid",
                                "useridentity.sessioncontext.sessionissuer.principalid",
                            ),
                            Member("arn", "useridentity.sessioncontext.sessionissuer.arn"),
                            Member(
                                "accountid",
                                "useridentity.sessioncontext.sessionissuer.accountid",
                            ),
                            Member(
                                "username",
                                "useridentity.sessioncontext.sessionissuer.username",
                            ),
                        ],
                    ),
                    Member("ec2roledelivery", "useridentity.sessioncontext.ec2roledelivery"),
                    Struct(
                        "webidfederationdata",
                        &[
                            Member(
                                "federatedprovider",
                                "useridentity.sessioncontext.webidfederationdata.federatedprovider",
                            ),
                            Map(
                                "attributes",
                                "useridentity.sessioncontext.webidfederationdata.attributes",
                            ),
                        ],
                    ),
                ],
            ),
        ],
    ),
    Iso("eventtime"),
    Same("eventsource"),
    Same("eventname"),
    Same("awsregion"),
    Same("sourceipaddress"),
    Same("useragent"),
    Same("errorcode"),
    Same("errormessage"),
    Same("requestparameters"),
    Same("responseelements"),
    Same("additionaleventdata"),
    Same("requestid"),
    Same("eventid"),
    Truth("readonly"),
    Resources("resources"),
    Same("eventtype"),
    Same("apiversion"),
    Same("recipientaccountid"),
    Same("serviceeventdetails"),
    Same("sharedeventid"),
    Same("vpcendpointid"),
    Same("vpcendpointaccountid"),
    Same("eventcategory"),
    Struct(
        "addendum",
        &[
            Json("reason", "addendum", "reason"),
            Json("updatedfields", "addendum", "updatedFields"),
            Json("originalrequestid", "addendum", "originalRequestID"),
            Json("originaleventid", "addendum", "originalEventID"),
        ],
    ),
    Same("sessioncredentialfromconsole"),
    Same("edgedevicedetails"),
    Struct(
        "tlsdetails",
        &[
            Member("tlsversion", "tlsdetails.tlsversion"),
            Member("ciphersuite", "tlsdetails.ciphersuite"),
            Member("clientprovidedhostheader", "tlsdetails.clientprovidedhostheader"),
        ],
    ),
];

const LOGS_KEYS: &[Column] = &[
    Same("account"),
    Same("region"),
    Day("year", "%Y"),
    Day("month", "%m"),
    Day("day", "%d"),
    Day("timestamp", "%Y/%m/%d"),
];

const PARTITIONED_KEYS: &[Column] = &[
    Day("date_partition", "%Y/%m/%d"),
    Member("region_partition", "region"),
    Member("account_partition", "account"),
];

const LAKE_COLUMNS: &[Column] = &[
    Same("eventversion"),
    Same("useridentity"),
    Same("eventtime"),
    Same("eventsource"),
    Same("eventname"),
    Same("awsregion"),
    Same("sourceipaddress"),
    Same("useragent"),
    Same("errorcode"),
    Same("errormessage"),
    Map("requestparameters", "requestparameters"),
    Map("responseelements", "responseelements"),
    Map("additionaleventdata", "additionaleventdata"),
    Same("requestid"),
    Same("eventid"),
    Same("readonly"),
    Same("resources"),
    Same("eventtype"),
    Same("apiversion"),
    Same("managementevent"),
    Same("recipientaccountid"),
    Same("sharedeventid"),
    Same("annotation"),
    Same("vpcendpointid"),
    Same("vpcendpointaccountid"),
    Map("serviceeventdetails", "serviceeventdetails"),
    Map("addendum", "addendum"),
    Map("edgedevicedetails", "edgedevicedetails"),
    Map("insightdetails", "insightdetails"),
    Same("eventcategory"),
    Same("tlsdetails"),
    Same("sessioncredentialfromconsole"),
    Record("eventjson"),
    RecordHash("eventjsonchecksum"),
];
