-- title: Activity of root users
-- answers: What did anybody do as the root user?
-- technique: T1078.004
-- parameter: since time = 30d | events since then
-- parameter: account text | only this account
SELECT eventtime, account, region, eventsource, eventname, sourceipaddress, useragent, errorcode
FROM events
WHERE eventtime >= $since
  AND ($account = '' OR account = $account)
  AND useridentity.type = 'Root'
  AND useridentity.invokedby IS NULL
  AND eventtype <> 'AwsServiceEvent'
ORDER BY eventtime DESC
