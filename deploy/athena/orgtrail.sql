-- Athena: tables over the settled events with partition projection, and the views of
-- docs/sql.md. Ask events: it reads a day's copy for the organization where there is one,
-- and its partitions where there is none. Accounts and regions are listed, so that no
-- query has to name one; `orgtrail schema --ddl athena --refresh` prints what to run,
-- once a day, when there are new ones or more days have copies. Events that came late to
-- a copied day are in orgtrail_events at once, and in events after they were copied.
-- Run one statement at a time. Rows without a date of their own lie in
-- date=1970-01-01, before this range.
CREATE EXTERNAL TABLE orgtrail_events (
  `eventversion` string,
  `useridentity` struct<type:string,principalid:string,arn:string,accountid:string,accesskeyid:string,username:string,sessioncontext:struct<attributes:struct<creationdate:string,mfaauthenticated:string>,sessionissuer:struct<type:string,principalid:string,arn:string,accountid:string,username:string>,webidfederationdata:struct<federatedprovider:string,attributes:string>,sourceidentity:string,ec2roledelivery:string,ec2issuedinvpc:string,assumedroot:string>,invokedby:string,invokedbydelegate:struct<accountid:string>,identityprovider:string,credentialid:string,onbehalfof:struct<userid:string,identitystorearn:string>,inscopeof:struct<sourcearn:string,sourceaccount:string,issuertype:string,credentialsissuedto:string>>,
  `eventtime` timestamp,
  `eventsource` string,
  `eventname` string,
  `awsregion` string,
  `sourceipaddress` string,
  `useragent` string,
  `errorcode` string,
  `errormessage` string,
  `requestparameters` string,
  `responseelements` string,
  `additionaleventdata` string,
  `requestid` string,
  `eventid` string,
  `readonly` boolean,
  `resources` array<struct<arn:string,arnprefix:string,accountid:string,type:string>>,
  `eventtype` string,
  `apiversion` string,
  `managementevent` boolean,
  `recipientaccountid` string,
  `serviceeventdetails` string,
  `sharedeventid` string,
  `vpcendpointid` string,
  `vpcendpointaccountid` string,
  `eventcategory` string,
  `addendum` string,
  `sessioncredentialfromconsole` string,
  `edgedevicedetails` string,
  `tlsdetails` struct<tlsversion:string,ciphersuite:string,clientprovidedhostheader:string,keyexchange:string>,
  `eventcontext` string,
  `annotation` string,
  `insightdetails` string,
  `accountid` string,
  `aggregatedeventid` string,
  `timewindow` string,
  `summary` string,
  `metadata` string,
  `eventdata` string,
  `unmapped` string,
  `nulls` string,
  `anomalies` string,
  `orgtrail_agent` string,
  `orgtrail_record` bigint,
  `orgtrail_row` bigint,
  `indicators` array<string>
)
PARTITIONED BY (account string, region string, `date` date)
STORED AS PARQUET
LOCATION 's3://BUCKET/PREFIX/trail/default/events/'
TBLPROPERTIES (
  'projection.enabled' = 'true',
  'projection.account.type' = 'enum',
  'projection.account.values' = '000000000000,111122223333,444455556666',
  'projection.region.type' = 'enum',
  'projection.region.values' = 'eu-west-1,unknown,us-east-1',
  'projection.date.type' = 'date',
  'projection.date.format' = 'yyyy-MM-dd',
  'projection.date.range' = '2026-01-01,NOW',
  'storage.location.template' =
    's3://BUCKET/PREFIX/trail/default/events/account=${account}/region=${region}/date=${date}/'
);

CREATE EXTERNAL TABLE orgtrail_days (
  `eventversion` string,
  `useridentity` struct<type:string,principalid:string,arn:string,accountid:string,accesskeyid:string,username:string,sessioncontext:struct<attributes:struct<creationdate:string,mfaauthenticated:string>,sessionissuer:struct<type:string,principalid:string,arn:string,accountid:string,username:string>,webidfederationdata:struct<federatedprovider:string,attributes:string>,sourceidentity:string,ec2roledelivery:string,ec2issuedinvpc:string,assumedroot:string>,invokedby:string,invokedbydelegate:struct<accountid:string>,identityprovider:string,credentialid:string,onbehalfof:struct<userid:string,identitystorearn:string>,inscopeof:struct<sourcearn:string,sourceaccount:string,issuertype:string,credentialsissuedto:string>>,
  `eventtime` timestamp,
  `eventsource` string,
  `eventname` string,
  `awsregion` string,
  `sourceipaddress` string,
  `useragent` string,
  `errorcode` string,
  `errormessage` string,
  `requestparameters` string,
  `responseelements` string,
  `additionaleventdata` string,
  `requestid` string,
  `eventid` string,
  `readonly` boolean,
  `resources` array<struct<arn:string,arnprefix:string,accountid:string,type:string>>,
  `eventtype` string,
  `apiversion` string,
  `managementevent` boolean,
  `recipientaccountid` string,
  `serviceeventdetails` string,
  `sharedeventid` string,
  `vpcendpointid` string,
  `vpcendpointaccountid` string,
  `eventcategory` string,
  `addendum` string,
  `sessioncredentialfromconsole` string,
  `edgedevicedetails` string,
  `tlsdetails` struct<tlsversion:string,ciphersuite:string,clientprovidedhostheader:string,keyexchange:string>,
  `eventcontext` string,
  `annotation` string,
  `insightdetails` string,
  `accountid` string,
  `aggregatedeventid` string,
  `timewindow` string,
  `summary` string,
  `metadata` string,
  `eventdata` string,
  `unmapped` string,
  `nulls` string,
  `anomalies` string,
  `orgtrail_agent` string,
  `orgtrail_record` bigint,
  `orgtrail_row` bigint,
  `indicators` array<string>,
  `account` string,
  `region` string
)
PARTITIONED BY (`date` date)
STORED AS PARQUET
LOCATION 's3://BUCKET/PREFIX/trail/default/days/'
TBLPROPERTIES (
  'projection.enabled' = 'true',
  'projection.date.type' = 'date',
  'projection.date.format' = 'yyyy-MM-dd',
  'projection.date.range' = '2026-01-01,NOW',
  'storage.location.template' = 's3://BUCKET/PREFIX/trail/default/days/date=${date}/'
);

-- No day is named that has a copy for the organization: `--store` and `--refresh` do that.
CREATE OR REPLACE VIEW events AS
SELECT eventversion, useridentity, eventtime, eventsource, eventname, awsregion, sourceipaddress, useragent, errorcode, errormessage, requestparameters, responseelements, additionaleventdata, requestid, eventid, readonly, resources, eventtype, apiversion, managementevent, recipientaccountid, serviceeventdetails, sharedeventid, vpcendpointid, vpcendpointaccountid, eventcategory, addendum, sessioncredentialfromconsole, edgedevicedetails, tlsdetails, eventcontext, annotation, insightdetails, accountid, aggregatedeventid, timewindow, summary, metadata, eventdata, unmapped, nulls, anomalies, orgtrail_agent, orgtrail_record, orgtrail_row, indicators, account, region, "date"
FROM orgtrail_events;

CREATE OR REPLACE VIEW cloudtrail_logs AS
SELECT
  eventversion,
  CAST(ROW(
    useridentity.type,
    useridentity.principalid,
    useridentity.arn,
    useridentity.accountid,
    useridentity.invokedby,
    useridentity.accesskeyid,
    useridentity.username,
    CAST(ROW(
      useridentity.onbehalfof.userid,
      useridentity.onbehalfof.identitystorearn) AS ROW(userid varchar, identitystorearn varchar)),
    CAST(ROW(
      CAST(ROW(
        useridentity.sessioncontext.attributes.mfaauthenticated,
        useridentity.sessioncontext.attributes.creationdate) AS ROW(mfaauthenticated varchar, creationdate varchar)),
      CAST(ROW(
        useridentity.sessioncontext.sessionissuer.type,
        useridentity.sessioncontext.sessionissuer.principalid,
        useridentity.sessioncontext.sessionissuer.arn,
        useridentity.sessioncontext.sessionissuer.accountid,
        useridentity.sessioncontext.sessionissuer.username) AS ROW(type varchar, principalid varchar, arn varchar, accountid varchar, username varchar)),
      useridentity.sessioncontext.ec2roledelivery,
      CAST(ROW(
        useridentity.sessioncontext.webidfederationdata.federatedprovider,
        transform_values(TRY_CAST(TRY(json_parse(useridentity.sessioncontext.webidfederationdata.attributes)) AS MAP(VARCHAR, JSON)), (k, v) -> COALESCE(json_extract_scalar(v, '$'), json_format(v)))) AS ROW(federatedprovider varchar, attributes MAP(VARCHAR, VARCHAR)))) AS ROW(attributes ROW(mfaauthenticated varchar, creationdate varchar), sessionissuer ROW(type varchar, principalid varchar, arn varchar, accountid varchar, username varchar), ec2roledelivery varchar, webidfederationdata ROW(federatedprovider varchar, attributes MAP(VARCHAR, VARCHAR))))) AS ROW(type varchar, principalid varchar, arn varchar, accountid varchar, invokedby varchar, accesskeyid varchar, username varchar, onbehalfof ROW(userid varchar, identitystorearn varchar), sessioncontext ROW(attributes ROW(mfaauthenticated varchar, creationdate varchar), sessionissuer ROW(type varchar, principalid varchar, arn varchar, accountid varchar, username varchar), ec2roledelivery varchar, webidfederationdata ROW(federatedprovider varchar, attributes MAP(VARCHAR, VARCHAR))))) AS useridentity,
  date_format(eventtime, '%Y-%m-%dT%H:%i:%sZ') AS eventtime,
  eventsource,
  eventname,
  awsregion,
  sourceipaddress,
  useragent,
  errorcode,
  errormessage,
  requestparameters,
  responseelements,
  additionaleventdata,
  requestid,
  eventid,
  CAST(readonly AS VARCHAR) AS readonly,
  transform(resources, r -> CAST(ROW(r.arn, r.accountid, r.type) AS ROW(arn varchar, accountid varchar, type varchar))) AS resources,
  eventtype,
  apiversion,
  recipientaccountid,
  serviceeventdetails,
  sharedeventid,
  vpcendpointid,
  vpcendpointaccountid,
  eventcategory,
  CAST(ROW(
    json_extract_scalar(addendum, '$.reason'),
    json_extract_scalar(addendum, '$.updatedFields'),
    json_extract_scalar(addendum, '$.originalRequestID'),
    json_extract_scalar(addendum, '$.originalEventID')) AS ROW(reason varchar, updatedfields varchar, originalrequestid varchar, originaleventid varchar)) AS addendum,
  sessioncredentialfromconsole,
  edgedevicedetails,
  CAST(ROW(
    tlsdetails.tlsversion,
    tlsdetails.ciphersuite,
    tlsdetails.clientprovidedhostheader) AS ROW(tlsversion varchar, ciphersuite varchar, clientprovidedhostheader varchar)) AS tlsdetails,
  account,
  region,
  date_format("date", '%Y') AS "year",
  date_format("date", '%m') AS "month",
  date_format("date", '%d') AS "day",
  date_format("date", '%Y/%m/%d') AS "timestamp"
FROM events;

CREATE OR REPLACE VIEW cloudtrail AS
SELECT
  eventversion,
  CAST(ROW(
    useridentity.type,
    useridentity.principalid,
    useridentity.arn,
    useridentity.accountid,
    useridentity.invokedby,
    useridentity.accesskeyid,
    useridentity.username,
    CAST(ROW(
      useridentity.onbehalfof.userid,
      useridentity.onbehalfof.identitystorearn) AS ROW(userid varchar, identitystorearn varchar)),
    CAST(ROW(
      CAST(ROW(
        useridentity.sessioncontext.attributes.mfaauthenticated,
        useridentity.sessioncontext.attributes.creationdate) AS ROW(mfaauthenticated varchar, creationdate varchar)),
      CAST(ROW(
        useridentity.sessioncontext.sessionissuer.type,
        useridentity.sessioncontext.sessionissuer.principalid,
        useridentity.sessioncontext.sessionissuer.arn,
        useridentity.sessioncontext.sessionissuer.accountid,
        useridentity.sessioncontext.sessionissuer.username) AS ROW(type varchar, principalid varchar, arn varchar, accountid varchar, username varchar)),
      useridentity.sessioncontext.ec2roledelivery,
      CAST(ROW(
        useridentity.sessioncontext.webidfederationdata.federatedprovider,
        transform_values(TRY_CAST(TRY(json_parse(useridentity.sessioncontext.webidfederationdata.attributes)) AS MAP(VARCHAR, JSON)), (k, v) -> COALESCE(json_extract_scalar(v, '$'), json_format(v)))) AS ROW(federatedprovider varchar, attributes MAP(VARCHAR, VARCHAR)))) AS ROW(attributes ROW(mfaauthenticated varchar, creationdate varchar), sessionissuer ROW(type varchar, principalid varchar, arn varchar, accountid varchar, username varchar), ec2roledelivery varchar, webidfederationdata ROW(federatedprovider varchar, attributes MAP(VARCHAR, VARCHAR))))) AS ROW(type varchar, principalid varchar, arn varchar, accountid varchar, invokedby varchar, accesskeyid varchar, username varchar, onbehalfof ROW(userid varchar, identitystorearn varchar), sessioncontext ROW(attributes ROW(mfaauthenticated varchar, creationdate varchar), sessionissuer ROW(type varchar, principalid varchar, arn varchar, accountid varchar, username varchar), ec2roledelivery varchar, webidfederationdata ROW(federatedprovider varchar, attributes MAP(VARCHAR, VARCHAR))))) AS useridentity,
  date_format(eventtime, '%Y-%m-%dT%H:%i:%sZ') AS eventtime,
  eventsource,
  eventname,
  awsregion,
  sourceipaddress,
  useragent,
  errorcode,
  errormessage,
  requestparameters,
  responseelements,
  additionaleventdata,
  requestid,
  eventid,
  CAST(readonly AS VARCHAR) AS readonly,
  transform(resources, r -> CAST(ROW(r.arn, r.accountid, r.type) AS ROW(arn varchar, accountid varchar, type varchar))) AS resources,
  eventtype,
  apiversion,
  recipientaccountid,
  serviceeventdetails,
  sharedeventid,
  vpcendpointid,
  vpcendpointaccountid,
  eventcategory,
  CAST(ROW(
    json_extract_scalar(addendum, '$.reason'),
    json_extract_scalar(addendum, '$.updatedFields'),
    json_extract_scalar(addendum, '$.originalRequestID'),
    json_extract_scalar(addendum, '$.originalEventID')) AS ROW(reason varchar, updatedfields varchar, originalrequestid varchar, originaleventid varchar)) AS addendum,
  sessioncredentialfromconsole,
  edgedevicedetails,
  CAST(ROW(
    tlsdetails.tlsversion,
    tlsdetails.ciphersuite,
    tlsdetails.clientprovidedhostheader) AS ROW(tlsversion varchar, ciphersuite varchar, clientprovidedhostheader varchar)) AS tlsdetails,
  date_format("date", '%Y/%m/%d') AS date_partition,
  region AS region_partition,
  account AS account_partition
FROM events;

CREATE OR REPLACE VIEW cloudtrail_lake AS
SELECT
  eventversion,
  useridentity,
  eventtime,
  eventsource,
  eventname,
  awsregion,
  sourceipaddress,
  useragent,
  errorcode,
  errormessage,
  transform_values(TRY_CAST(TRY(json_parse(requestparameters)) AS MAP(VARCHAR, JSON)), (k, v) -> COALESCE(json_extract_scalar(v, '$'), json_format(v))) AS requestparameters,
  transform_values(TRY_CAST(TRY(json_parse(responseelements)) AS MAP(VARCHAR, JSON)), (k, v) -> COALESCE(json_extract_scalar(v, '$'), json_format(v))) AS responseelements,
  transform_values(TRY_CAST(TRY(json_parse(additionaleventdata)) AS MAP(VARCHAR, JSON)), (k, v) -> COALESCE(json_extract_scalar(v, '$'), json_format(v))) AS additionaleventdata,
  requestid,
  eventid,
  readonly,
  resources,
  eventtype,
  apiversion,
  managementevent,
  recipientaccountid,
  sharedeventid,
  annotation,
  vpcendpointid,
  vpcendpointaccountid,
  transform_values(TRY_CAST(TRY(json_parse(serviceeventdetails)) AS MAP(VARCHAR, JSON)), (k, v) -> COALESCE(json_extract_scalar(v, '$'), json_format(v))) AS serviceeventdetails,
  transform_values(TRY_CAST(TRY(json_parse(addendum)) AS MAP(VARCHAR, JSON)), (k, v) -> COALESCE(json_extract_scalar(v, '$'), json_format(v))) AS addendum,
  transform_values(TRY_CAST(TRY(json_parse(edgedevicedetails)) AS MAP(VARCHAR, JSON)), (k, v) -> COALESCE(json_extract_scalar(v, '$'), json_format(v))) AS edgedevicedetails,
  transform_values(TRY_CAST(TRY(json_parse(insightdetails)) AS MAP(VARCHAR, JSON)), (k, v) -> COALESCE(json_extract_scalar(v, '$'), json_format(v))) AS insightdetails,
  eventcategory,
  tlsdetails,
  sessioncredentialfromconsole
FROM events;
