-- title: Rows that were placed by a fallback rule
-- answers: Which events have no account, region or time of their own?
SELECT anomalies, account, region, orgtrail_agent AS agent, eventsource, eventname,
  count(*) AS events
FROM events
WHERE anomalies IS NOT NULL
GROUP BY 1, 2, 3, 4, 5, 6
ORDER BY events DESC
