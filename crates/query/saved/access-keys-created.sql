-- title: Access keys created or activated
-- answers: Who made long-lived credentials, and for whom?
-- technique: T1098.001
-- parameter: since time = 30d | events since then
-- parameter: account text | only this account
SELECT
  eventtime, account, region, eventname,
  coalesce(useridentity.arn, useridentity.principalid, useridentity.invokedby) AS who,
  sourceipaddress, errorcode,
  json_get(requestparameters, 'userName') AS user,
  json_get(responseelements, 'accessKey.accessKeyId') AS key
FROM events
WHERE eventtime >= $since
  AND ($account = '' OR account = $account)
  AND eventname IN ('CreateAccessKey', 'UpdateAccessKey', 'CreateServiceSpecificCredential',
    'UploadSigningCertificate')
ORDER BY eventtime DESC
