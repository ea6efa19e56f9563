-- title: Regions used for the first time
-- answers: Where did an account start to work that it never did before?
-- technique: T1535
-- parameter: since time = 30d | events since then
SELECT account, awsregion, min(eventtime) AS first, count(*) AS calls,
  count(DISTINCT coalesce(useridentity.arn, useridentity.principalid)) AS principals
FROM events
WHERE readonly IS NOT TRUE
GROUP BY 1, 2
HAVING min(eventtime) >= $since
ORDER BY first DESC
