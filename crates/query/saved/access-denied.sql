-- title: Denied calls by principal
-- answers: Who is refused most, at how many different actions?
-- technique: T1580
-- parameter: since time = 30d | events since then
-- parameter: account text | only this account
SELECT
  account,
  coalesce(useridentity.arn, useridentity.principalid, useridentity.invokedby) AS who,
  count(*) AS denied, count(DISTINCT eventname) AS actions,
  count(DISTINCT sourceipaddress) AS addresses, min(eventtime) AS first, max(eventtime) AS last
FROM events
WHERE eventtime >= $since
  AND ($account = '' OR account = $account)
  AND (errorcode LIKE '%AccessDenied%' OR errorcode LIKE '%Unauthorized%')
GROUP BY 1, 2
ORDER BY denied DESC
