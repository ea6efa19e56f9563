-- title: Console logins without MFA
-- answers: Who signed in to the console with a password alone, and from where?
-- technique: T1078.004
-- parameter: since time = 30d | events since then
-- parameter: account text | only this account
SELECT
  eventtime, account,
  coalesce(useridentity.arn, useridentity.principalid, useridentity.invokedby) AS who,
  useridentity.type AS type, sourceipaddress, useragent
FROM events
WHERE eventtime >= $since
  AND ($account = '' OR account = $account)
  AND eventname = 'ConsoleLogin'
  AND json_get(responseelements, 'ConsoleLogin') = 'Success'
  AND json_get(additionaleventdata, 'MFAUsed') = 'No'
ORDER BY eventtime DESC
