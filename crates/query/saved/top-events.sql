-- title: Most frequent events
-- answers: What happens most?
-- parameter: since time = 30d | events since then
-- parameter: account text | only this account
SELECT eventsource, eventname, count(*) AS events, count(DISTINCT account) AS accounts,
  count(*) FILTER (WHERE errorcode IS NOT NULL) AS errors
FROM events
WHERE eventtime >= $since
  AND ($account = '' OR account = $account)
GROUP BY 1, 2
ORDER BY events DESC
