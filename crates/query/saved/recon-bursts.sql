-- title: Bursts of discovery
-- answers: Who listed and described unusually many different things within an hour?
-- technique: T1526
-- parameter: since time = 30d | events since then
-- parameter: account text | only this account
SELECT
  date_trunc('hour', eventtime) AS hour, account,
  coalesce(useridentity.arn, useridentity.principalid, useridentity.invokedby) AS who,
  sourceipaddress,
  count(DISTINCT eventname) AS actions, count(*) AS calls,
  count(*) FILTER (WHERE errorcode IS NOT NULL) AS errors
FROM events
WHERE eventtime >= $since
  AND ($account = '' OR account = $account)
  AND regexp_like(eventname, '^(List|Describe|Get|Lookup|Search)')
GROUP BY 1, 2, 3, 4
HAVING count(DISTINCT eventname) >= 10
ORDER BY actions DESC
