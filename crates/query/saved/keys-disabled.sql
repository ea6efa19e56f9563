-- title: Encryption keys disabled or deleted
-- answers: Which data may soon be unreadable?
-- technique: T1485
-- parameter: since time = 30d | events since then
-- parameter: account text | only this account
SELECT
  eventtime, account, region, eventname,
  coalesce(useridentity.arn, useridentity.principalid, useridentity.invokedby) AS who,
  sourceipaddress, errorcode,
  json_get(requestparameters, 'keyId') AS key
FROM events
WHERE eventtime >= $since
  AND ($account = '' OR account = $account)
  AND eventname IN ('ScheduleKeyDeletion', 'DisableKey', 'DeleteImportedKeyMaterial',
    'PutKeyPolicy', 'CancelKeyDeletion', 'DisableKeyRotation')
ORDER BY eventtime DESC
