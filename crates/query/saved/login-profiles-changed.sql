-- title: Console passwords set
-- answers: Who gave or changed a console password, and whose?
-- technique: T1098
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
  AND eventname IN ('CreateLoginProfile', 'UpdateLoginProfile', 'DeleteLoginProfile',
    'ChangePassword')
ORDER BY eventtime DESC
