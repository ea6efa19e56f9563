-- title: Keys used from many addresses
-- answers: Which access keys come from more places than one person or host would?
-- technique: T1078.004
-- parameter: since time = 30d | events since then
-- parameter: account text | only this account
SELECT
  useridentity.accesskeyid AS key, max(coalesce(useridentity.arn, useridentity.principalid)) AS who,
  count(DISTINCT sourceipaddress) AS addresses, count(DISTINCT useragent) AS agents,
  count(*) AS calls, min(eventtime) AS first, max(eventtime) AS last
FROM events
WHERE eventtime >= $since
  AND ($account = '' OR account = $account)
  AND useridentity.accesskeyid IS NOT NULL
  AND useridentity.invokedby IS NULL
GROUP BY 1
HAVING count(DISTINCT sourceipaddress) > 1
ORDER BY addresses DESC, calls DESC
