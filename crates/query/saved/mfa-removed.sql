-- title: MFA devices removed
-- answers: Whose second factor was taken away?
-- technique: T1556.006
-- parameter: since time = 30d | events since then
-- parameter: account text | only this account
SELECT
  eventtime, account, region, eventname,
  coalesce(useridentity.arn, useridentity.principalid, useridentity.invokedby) AS who,
  sourceipaddress, errorcode,
  json_get(requestparameters, 'userName') AS user
FROM events
WHERE eventtime >= $since
  AND ($account = '' OR account = $account)
  AND eventname IN ('DeactivateMFADevice', 'DeleteVirtualMFADevice')
ORDER BY eventtime DESC
