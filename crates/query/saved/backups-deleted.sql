-- title: Backups and versions removed
-- answers: Whose way back was cut off?
-- technique: T1490
-- parameter: since time = 30d | events since then
-- parameter: account text | only this account
SELECT
  eventtime, account, region, eventname,
  coalesce(useridentity.arn, useridentity.principalid, useridentity.invokedby) AS who,
  sourceipaddress, errorcode
FROM events
WHERE eventtime >= $since
  AND ($account = '' OR account = $account)
  AND eventname IN ('DeleteBackupVault', 'DeleteRecoveryPoint', 'DeleteBackupPlan',
    'DeleteSnapshot', 'DeleteDBSnapshot', 'DeleteDBClusterSnapshot', 'DeregisterImage',
    'PutBucketVersioning', 'PutBucketLifecycle', 'PutLifecycleConfiguration',
    'PutBucketLifecycleConfiguration')
ORDER BY eventtime DESC
