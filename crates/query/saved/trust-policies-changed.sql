-- title: Trust policies of roles changed
-- answers: Who may assume a role now who could not before?
-- technique: T1098.003
-- parameter: since time = 30d | events since then
-- parameter: account text | only this account
SELECT
  eventtime, account, region, eventname,
  coalesce(useridentity.arn, useridentity.principalid, useridentity.invokedby) AS who,
  sourceipaddress, errorcode,
  json_get(requestparameters, 'roleName') AS role,
  json_get(requestparameters, 'policyDocument') AS policy
FROM events
WHERE eventtime >= $since
  AND ($account = '' OR account = $account)
  AND eventname IN ('UpdateAssumeRolePolicy')
ORDER BY eventtime DESC
