-- title: Administrator rights granted
-- answers: Who attached a policy that allows everything, or joined somebody to an administrators' group?
-- technique: T1098.003
-- parameter: since time = 30d | events since then
-- parameter: account text | only this account
SELECT
  eventtime, account, eventname,
  coalesce(useridentity.arn, useridentity.principalid, useridentity.invokedby) AS who,
  coalesce(json_get(requestparameters, 'userName'), json_get(requestparameters, 'roleName'),
    json_get(requestparameters, 'groupName')) AS target,
  coalesce(json_get(requestparameters, 'policyArn'), json_get(requestparameters, 'policyName'),
    json_get(requestparameters, 'groupName')) AS granted,
  sourceipaddress, errorcode
FROM events
WHERE eventtime >= $since
  AND ($account = '' OR account = $account)
  AND eventname IN ('AttachUserPolicy', 'AttachRolePolicy', 'AttachGroupPolicy', 'PutUserPolicy',
    'PutRolePolicy', 'PutGroupPolicy', 'AddUserToGroup', 'CreatePolicyVersion', 'CreatePolicy')
  AND (lower(requestparameters) LIKE '%admin%'
    OR regexp_like(json_get(requestparameters, 'policyDocument'), '"Action"\s*:\s*\[?\s*"\*"'))
ORDER BY eventtime DESC
