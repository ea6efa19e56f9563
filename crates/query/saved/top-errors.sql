-- title: Most frequent errors
-- answers: What fails most, and whom does it concern?
-- parameter: since time = 30d | events since then
-- parameter: account text | only this account
SELECT
  errorcode, eventsource, eventname, count(*) AS errors,
  count(DISTINCT coalesce(useridentity.arn, useridentity.principalid)) AS principals,
  count(DISTINCT account) AS accounts, max(eventtime) AS last
FROM events
WHERE eventtime >= $since
  AND ($account = '' OR account = $account)
  AND errorcode IS NOT NULL
GROUP BY 1, 2, 3
ORDER BY errors DESC
