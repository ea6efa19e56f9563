-- title: Instances launched
-- answers: Who launched how many instances of which type, where?
-- technique: T1578.002
-- parameter: since time = 30d | events since then
-- parameter: account text | only this account
SELECT
  account, region,
  coalesce(useridentity.arn, useridentity.principalid, useridentity.invokedby) AS who,
  json_get(requestparameters, 'instanceType') AS type,
  count(*) AS calls, count(*) FILTER (WHERE errorcode IS NULL) AS successful,
  min(eventtime) AS first, max(eventtime) AS last
FROM events
WHERE eventtime >= $since
  AND ($account = '' OR account = $account)
  AND eventname IN ('RunInstances', 'RequestSpotInstances', 'CreateFleet')
GROUP BY 1, 2, 3, 4
ORDER BY calls DESC
