-- title: Deletions
-- answers: Who deleted how much of what?
-- technique: T1485
-- parameter: since time = 30d | events since then
-- parameter: account text | only this account
SELECT
  account, region,
  coalesce(useridentity.arn, useridentity.principalid, useridentity.invokedby) AS who,
  eventsource, eventname, count(*) AS calls,
  count(*) FILTER (WHERE errorcode IS NULL) AS successful, min(eventtime) AS first,
  max(eventtime) AS last
FROM events
WHERE eventtime >= $since
  AND ($account = '' OR account = $account)
  AND regexp_like(eventname, '^(Delete|Terminate|Remove|Purge)')
GROUP BY 1, 2, 3, 4, 5
ORDER BY calls DESC
