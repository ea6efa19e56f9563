-- The settled events of a store as DuckDB reads them, and the views of docs/sql.md.
-- On S3 first: INSTALL httpfs; CREATE SECRET (TYPE s3, PROVIDER credential_chain);
-- While files are compacted, a partition may count twice for a few minutes: orgtrail
-- query does not.
CREATE OR REPLACE VIEW events AS
SELECT * FROM read_parquet('s3://BUCKET/PREFIX/trail/default/events/**/*.parquet',
  hive_partitioning = true, union_by_name = true,
  hive_types = {'account': VARCHAR, 'region': VARCHAR, 'date': DATE});

-- No day is named that has a copy for the organization: `--store` and `--refresh` do that.
CREATE OR REPLACE VIEW events_by_day AS SELECT * FROM events;

-- A JSON object as a map of texts.
CREATE OR REPLACE MACRO json_text_map(j) AS CASE WHEN json_type(j) = 'OBJECT' THEN
  map_from_entries(list_transform(json_keys(j), lambda k:
    {'k': k, 'v': j ->> ('$."' || k || '"')})) END;

CREATE OR REPLACE VIEW cloudtrail_logs AS
SELECT
  eventversion,
  struct_pack(
    type := useridentity.type,
    principalid := useridentity.principalid,
    arn := useridentity.arn,
    accountid := useridentity.accountid,
    invokedby := useridentity.invokedby,
    accesskeyid := useridentity.accesskeyid,
    username := useridentity.username,
    onbehalfof := struct_pack(
      userid := useridentity.onbehalfof.userid,
      identitystorearn := useridentity.onbehalfof.identitystorearn),
    sessioncontext := struct_pack(
      attributes := struct_pack(
        mfaauthenticated := useridentity.sessioncontext.attributes.mfaauthenticated,
        creationdate := useridentity.sessioncontext.attributes.creationdate),
      sessionissuer := struct_pack(
        type := useridentity.sessioncontext.sessionissuer.type,
        principalid := useridentity.sessioncontext.sessionissuer.principalid,
        arn := useridentity.sessioncontext.sessionissuer.arn,
        accountid := useridentity.sessioncontext.sessionissuer.accountid,
        username := useridentity.sessioncontext.sessionissuer.username),
      ec2roledelivery := useridentity.sessioncontext.ec2roledelivery,
      webidfederationdata := struct_pack(
        federatedprovider := useridentity.sessioncontext.webidfederationdata.federatedprovider,
        attributes := json_text_map(useridentity.sessioncontext.webidfederationdata.attributes)))) AS useridentity,
  strftime(eventtime AT TIME ZONE 'UTC', '%Y-%m-%dT%H:%M:%SZ') AS eventtime,
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
  list_transform(resources, lambda r: {'arn': r.arn, 'accountid': r.accountid, 'type': r.type}) AS resources,
  eventtype,
  apiversion,
  recipientaccountid,
  serviceeventdetails,
  sharedeventid,
  vpcendpointid,
  vpcendpointaccountid,
  eventcategory,
  struct_pack(
    reason := addendum ->> '$.reason',
    updatedfields := addendum ->> '$.updatedFields',
    originalrequestid := addendum ->> '$.originalRequestID',
    originaleventid := addendum ->> '$.originalEventID') AS addendum,
  sessioncredentialfromconsole,
  edgedevicedetails,
  struct_pack(
    tlsversion := tlsdetails.tlsversion,
    ciphersuite := tlsdetails.ciphersuite,
    clientprovidedhostheader := tlsdetails.clientprovidedhostheader) AS tlsdetails,
  account,
  region,
  strftime(date, '%Y') AS "year",
  strftime(date, '%m') AS "month",
  strftime(date, '%d') AS "day",
  strftime(date, '%Y/%m/%d') AS "timestamp"
FROM events;

CREATE OR REPLACE VIEW cloudtrail AS
SELECT
  eventversion,
  struct_pack(
    type := useridentity.type,
    principalid := useridentity.principalid,
    arn := useridentity.arn,
    accountid := useridentity.accountid,
    invokedby := useridentity.invokedby,
    accesskeyid := useridentity.accesskeyid,
    username := useridentity.username,
    onbehalfof := struct_pack(
      userid := useridentity.onbehalfof.userid,
      identitystorearn := useridentity.onbehalfof.identitystorearn),
    sessioncontext := struct_pack(
      attributes := struct_pack(
        mfaauthenticated := useridentity.sessioncontext.attributes.mfaauthenticated,
        creationdate := useridentity.sessioncontext.attributes.creationdate),
      sessionissuer := struct_pack(
        type := useridentity.sessioncontext.sessionissuer.type,
        principalid := useridentity.sessioncontext.sessionissuer.principalid,
        arn := useridentity.sessioncontext.sessionissuer.arn,
        accountid := useridentity.sessioncontext.sessionissuer.accountid,
        username := useridentity.sessioncontext.sessionissuer.username),
      ec2roledelivery := useridentity.sessioncontext.ec2roledelivery,
      webidfederationdata := struct_pack(
        federatedprovider := useridentity.sessioncontext.webidfederationdata.federatedprovider,
        attributes := json_text_map(useridentity.sessioncontext.webidfederationdata.attributes)))) AS useridentity,
  strftime(eventtime AT TIME ZONE 'UTC', '%Y-%m-%dT%H:%M:%SZ') AS eventtime,
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
  list_transform(resources, lambda r: {'arn': r.arn, 'accountid': r.accountid, 'type': r.type}) AS resources,
  eventtype,
  apiversion,
  recipientaccountid,
  serviceeventdetails,
  sharedeventid,
  vpcendpointid,
  vpcendpointaccountid,
  eventcategory,
  struct_pack(
    reason := addendum ->> '$.reason',
    updatedfields := addendum ->> '$.updatedFields',
    originalrequestid := addendum ->> '$.originalRequestID',
    originaleventid := addendum ->> '$.originalEventID') AS addendum,
  sessioncredentialfromconsole,
  edgedevicedetails,
  struct_pack(
    tlsversion := tlsdetails.tlsversion,
    ciphersuite := tlsdetails.ciphersuite,
    clientprovidedhostheader := tlsdetails.clientprovidedhostheader) AS tlsdetails,
  strftime(date, '%Y/%m/%d') AS date_partition,
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
  json_text_map(requestparameters) AS requestparameters,
  json_text_map(responseelements) AS responseelements,
  json_text_map(additionaleventdata) AS additionaleventdata,
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
  json_text_map(serviceeventdetails) AS serviceeventdetails,
  json_text_map(addendum) AS addendum,
  json_text_map(edgedevicedetails) AS edgedevicedetails,
  json_text_map(insightdetails) AS insightdetails,
  eventcategory,
  tlsdetails,
  sessioncredentialfromconsole
FROM events;
