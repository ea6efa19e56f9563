-- title: Events by account and region
-- answers: Which accounts and regions are how busy, and since and until when?
-- parameter: since time = 30d | events since then
SELECT account, region, count(*) AS events, count(DISTINCT eventname) AS actions,
  min(eventtime) AS first, max(eventtime) AS last
FROM events
WHERE eventtime >= $since
GROUP BY 1, 2
ORDER BY events DESC
