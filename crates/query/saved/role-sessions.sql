-- title: Role sessions issued
-- answers: Who assumes which roles, and under which session names?
-- technique: T1550.001
-- parameter: since time = 30d | events since then
-- parameter: account text | only this account
SELECT
  account,
  coalesce(useridentity.arn, useridentity.principalid, useridentity.invokedby) AS who,
  eventname,
  json_get(requestparameters, 'roleArn') AS role, count(*) AS sessions,
  count(DISTINCT json_get(requestparameters, 'roleSessionName')) AS names,
  min(eventtime) AS first, max(eventtime) AS last
FROM events
WHERE eventtime >= $since
  AND ($account = '' OR account = $account)
  AND eventname IN ('AssumeRole', 'AssumeRoleWithSAML', 'AssumeRoleWithWebIdentity', 'AssumeRoot')
GROUP BY 1, 2, 3, 4
ORDER BY sessions DESC
