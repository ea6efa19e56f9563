-- title: Activity of a principal
-- answers: What did one user or role do?
-- parameter: principal text required | an ARN, or the name of a user or role
-- parameter: since time = 30d | events since then
SELECT
  account, region, eventsource, eventname, count(*) AS calls,
  count(*) FILTER (WHERE errorcode IS NOT NULL) AS errors,
  count(DISTINCT sourceipaddress) AS addresses, min(eventtime) AS first, max(eventtime) AS last
FROM events
WHERE eventtime >= $since
  AND (useridentity.arn = $principal
    OR useridentity.sessioncontext.sessionissuer.arn = $principal
    OR useridentity.username = $principal
    OR useridentity.sessioncontext.sessionissuer.username = $principal)
GROUP BY 1, 2, 3, 4
ORDER BY calls DESC
