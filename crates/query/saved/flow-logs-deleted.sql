-- title: Network logs removed
-- answers: Who stopped recording network traffic or requests?
-- technique: T1562.008
-- parameter: since time = 30d | events since then
-- parameter: account text | only this account
SELECT
  eventtime, account, region, eventname,
  coalesce(useridentity.arn, useridentity.principalid, useridentity.invokedby) AS who,
  sourceipaddress, errorcode
FROM events
WHERE eventtime >= $since
  AND ($account = '' OR account = $account)
  AND eventname IN ('DeleteFlowLogs', 'DeleteLogGroup', 'DeleteLogStream', 'PutRetentionPolicy',
    'DeleteLoggingConfiguration', 'DeleteResolverQueryLogConfig', 'PutBucketLogging')
ORDER BY eventtime DESC
