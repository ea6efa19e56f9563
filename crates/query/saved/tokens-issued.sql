-- title: Temporary tokens for users
-- answers: Who turned a key into a session or a console link?
-- technique: T1550.001
-- parameter: since time = 30d | events since then
-- parameter: account text | only this account
SELECT
  eventtime, account, region, eventname,
  coalesce(useridentity.arn, useridentity.principalid, useridentity.invokedby) AS who,
  sourceipaddress, errorcode,
  useridentity.accesskeyid AS key
FROM events
WHERE eventtime >= $since
  AND ($account = '' OR account = $account)
  AND eventname IN ('GetSessionToken', 'GetFederationToken', 'GetSigninToken', 'GetCallerIdentity')
ORDER BY eventtime DESC
