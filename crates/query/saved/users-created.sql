-- title: Users and roles created
-- answers: Which identities are new?
-- technique: T1136.003
-- parameter: since time = 30d | events since then
-- parameter: account text | only this account
SELECT
  eventtime, account, region, eventname,
  coalesce(useridentity.arn, useridentity.principalid, useridentity.invokedby) AS who,
  sourceipaddress, errorcode,
  coalesce(json_get(requestparameters, 'userName'), json_get(requestparameters, 'roleName'),
    json_get(requestparameters, 'groupName'), json_get(requestparameters, 'instanceProfileName')) AS name
FROM events
WHERE eventtime >= $since
  AND ($account = '' OR account = $account)
  AND eventname IN ('CreateUser', 'CreateRole', 'CreateServiceLinkedRole', 'CreateGroup',
    'CreateInstanceProfile')
ORDER BY eventtime DESC
