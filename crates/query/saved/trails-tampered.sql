-- title: Trails stopped or changed
-- answers: Who stopped, deleted or narrowed a trail?
-- technique: T1562.008
-- parameter: since time = 30d | events since then
-- parameter: account text | only this account
SELECT
  eventtime, account, region, eventname,
  coalesce(useridentity.arn, useridentity.principalid, useridentity.invokedby) AS who,
  sourceipaddress, errorcode,
  json_get(requestparameters, 'name') AS trail
FROM events
WHERE eventtime >= $since
  AND ($account = '' OR account = $account)
  AND eventsource = 'cloudtrail.amazonaws.com'
  AND eventname IN ('StopLogging', 'DeleteTrail', 'UpdateTrail', 'PutEventSelectors',
    'PutInsightSelectors', 'DeleteEventDataStore', 'StopEventDataStoreIngestion',
    'UpdateEventDataStore')
ORDER BY eventtime DESC
