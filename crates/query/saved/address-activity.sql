-- title: Activity of an address
-- answers: Who came from one address, and what did they do?
-- parameter: address text required | the source address
-- parameter: since time = 30d | events since then
SELECT
  account,
  coalesce(useridentity.arn, useridentity.principalid, useridentity.invokedby) AS who,
  eventsource, eventname, count(*) AS calls,
  count(*) FILTER (WHERE errorcode IS NOT NULL) AS errors, min(eventtime) AS first,
  max(eventtime) AS last
FROM events
WHERE eventtime >= $since
  AND sourceipaddress = $address
GROUP BY 1, 2, 3, 4
ORDER BY calls DESC
