-- title: Events by day
-- answers: How many events has each day, and how many of them failed?
-- parameter: since time = 30d | events since then
-- parameter: account text | only this account
SELECT date, count(*) AS events, count(DISTINCT account) AS accounts,
  count(*) FILTER (WHERE errorcode IS NOT NULL) AS errors
FROM events
WHERE eventtime >= $since
  AND ($account = '' OR account = $account)
GROUP BY 1
ORDER BY 1 DESC
