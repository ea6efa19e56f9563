-- title: Roles assumed from other accounts
-- answers: Which accounts' principals assume which roles of ours?
-- technique: T1199
-- parameter: since time = 30d | events since then
-- parameter: account text | only this account
SELECT
  useridentity.accountid AS from_account, account, json_get(requestparameters, 'roleArn') AS role,
  count(*) AS calls, count(*) FILTER (WHERE errorcode IS NOT NULL) AS refused,
  min(eventtime) AS first, max(eventtime) AS last
FROM events
WHERE eventtime >= $since
  AND ($account = '' OR account = $account)
  AND eventname = 'AssumeRole'
  AND useridentity.accountid <> recipientaccountid
GROUP BY 1, 2, 3
ORDER BY calls DESC
