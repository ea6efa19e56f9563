-- title: Start scripts of instances changed
-- answers: Which instances run something else at their next start, or have weaker metadata protection?
-- technique: T1059
-- parameter: since time = 30d | events since then
-- parameter: account text | only this account
SELECT
  eventtime, account, region, eventname,
  coalesce(useridentity.arn, useridentity.principalid, useridentity.invokedby) AS who,
  sourceipaddress, errorcode,
  json_get(requestparameters, 'instanceId') AS instance
FROM events
WHERE eventtime >= $since
  AND ($account = '' OR account = $account)
  AND eventname IN ('ModifyInstanceAttribute', 'ModifyInstanceMetadataOptions',
    'CreateLaunchTemplateVersion')
ORDER BY eventtime DESC
