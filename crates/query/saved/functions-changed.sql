-- title: Functions changed
-- answers: Whose code or rights to call changed in Lambda?
-- technique: T1648
-- parameter: since time = 30d | events since then
-- parameter: account text | only this account
SELECT
  eventtime, account, region, eventname,
  coalesce(useridentity.arn, useridentity.principalid, useridentity.invokedby) AS who,
  sourceipaddress, errorcode,
  json_get(requestparameters, 'functionName') AS function
FROM events
WHERE eventtime >= $since
  AND ($account = '' OR account = $account)
  AND eventname IN ('CreateFunction20150331', 'UpdateFunctionCode20150331v2',
    'UpdateFunctionConfiguration20150331v2', 'AddPermission20150331v2',
    'PublishLayerVersion20181031', 'CreateEventSourceMapping20150331', 'CreateFunctionUrlConfig')
ORDER BY eventtime DESC
