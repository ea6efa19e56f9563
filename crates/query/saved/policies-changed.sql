-- title: IAM policies changed
-- answers: Which permissions were written, attached or taken away?
-- technique: T1098.003
-- parameter: since time = 30d | events since then
-- parameter: account text | only this account
SELECT
  eventtime, account, region, eventname,
  coalesce(useridentity.arn, useridentity.principalid, useridentity.invokedby) AS who,
  sourceipaddress, errorcode,
  coalesce(json_get(requestparameters, 'policyArn'), json_get(requestparameters, 'policyName')) AS policy
FROM events
WHERE eventtime >= $since
  AND ($account = '' OR account = $account)
  AND eventname IN ('AttachUserPolicy', 'AttachRolePolicy', 'AttachGroupPolicy',
    'DetachUserPolicy', 'DetachRolePolicy', 'DetachGroupPolicy', 'PutUserPolicy', 'PutRolePolicy',
    'PutGroupPolicy', 'DeleteUserPolicy', 'DeleteRolePolicy', 'DeleteGroupPolicy', 'CreatePolicy',
    'CreatePolicyVersion', 'SetDefaultPolicyVersion', 'DeletePolicy', 'PutRolePermissionsBoundary',
    'DeleteRolePermissionsBoundary')
ORDER BY eventtime DESC
