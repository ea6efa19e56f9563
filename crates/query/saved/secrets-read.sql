-- title: Secrets read
-- answers: Who read how many secrets and parameters?
-- technique: T1555.006
-- parameter: since time = 30d | events since then
-- parameter: account text | only this account
SELECT
  account, region,
  coalesce(useridentity.arn, useridentity.principalid, useridentity.invokedby) AS who,
  eventname, count(*) AS calls,
  count(DISTINCT coalesce(json_get(requestparameters, 'secretId'),
    json_get(requestparameters, 'name'))) AS secrets,
  count(*) FILTER (WHERE errorcode IS NOT NULL) AS refused,
  min(eventtime) AS first, max(eventtime) AS last
FROM events
WHERE eventtime >= $since
  AND ($account = '' OR account = $account)
  AND eventname IN ('GetSecretValue', 'BatchGetSecretValue', 'GetParameter', 'GetParameters',
    'GetParametersByPath', 'GetPasswordData')
GROUP BY 1, 2, 3, 4
ORDER BY calls DESC
