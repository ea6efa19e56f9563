-- title: Failed console logins
-- answers: Which names and addresses fail to sign in, and how often?
-- technique: T1110
-- parameter: since time = 30d | events since then
-- parameter: account text | only this account
SELECT
  account, coalesce(useridentity.username, useridentity.arn, useridentity.principalid) AS who,
  sourceipaddress, count(*) AS attempts, min(eventtime) AS first, max(eventtime) AS last
FROM events
WHERE eventtime >= $since
  AND ($account = '' OR account = $account)
  AND eventname = 'ConsoleLogin'
  AND (errormessage IS NOT NULL OR json_get(responseelements, 'ConsoleLogin') = 'Failure')
GROUP BY 1, 2, 3
ORDER BY attempts DESC, last DESC
