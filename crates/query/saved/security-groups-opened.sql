-- title: Security groups opened to the world
-- answers: Which rules let every address in?
-- technique: T1562.007
-- parameter: since time = 30d | events since then
-- parameter: account text | only this account
SELECT
  eventtime, account, region,
  coalesce(useridentity.arn, useridentity.principalid, useridentity.invokedby) AS who,
  json_get(requestparameters, 'groupId') AS security_group,
  coalesce(json_get(requestparameters, 'ipPermissions'), requestparameters) AS rules,
  sourceipaddress, errorcode
FROM events
WHERE eventtime >= $since
  AND ($account = '' OR account = $account)
  AND eventname IN ('AuthorizeSecurityGroupIngress', 'ModifySecurityGroupRules')
  AND (requestparameters LIKE '%0.0.0.0/0%' OR requestparameters LIKE '%::/0%')
ORDER BY eventtime DESC
