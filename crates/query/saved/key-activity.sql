-- title: Activity of an access key
-- answers: What was one access key used for, from where, and when?
-- technique: T1552
-- parameter: key text required | the access key's id
-- parameter: since time = 30d | events since then
SELECT
  account, region, eventsource, eventname, sourceipaddress, count(*) AS calls,
  count(*) FILTER (WHERE errorcode IS NOT NULL) AS errors, min(eventtime) AS first,
  max(eventtime) AS last
FROM events
WHERE eventtime >= $since
  AND useridentity.accesskeyid = $key
GROUP BY 1, 2, 3, 4, 5
ORDER BY first
