-- title: Snapshots and images shared
-- answers: Which disks, databases or images were opened to others?
-- technique: T1537
-- parameter: since time = 30d | events since then
-- parameter: account text | only this account
SELECT
  eventtime, account, region, eventname,
  coalesce(useridentity.arn, useridentity.principalid, useridentity.invokedby) AS who,
  coalesce(json_get(requestparameters, 'snapshotId'), json_get(requestparameters, 'imageId'),
    json_get(requestparameters, 'dBSnapshotIdentifier'),
    json_get(requestparameters, 'dBClusterSnapshotIdentifier')) AS shared,
  requestparameters, sourceipaddress, errorcode
FROM events
WHERE eventtime >= $since
  AND ($account = '' OR account = $account)
  AND eventname IN ('ModifySnapshotAttribute', 'ModifyImageAttribute', 'ModifyDBSnapshotAttribute',
    'ModifyDBClusterSnapshotAttribute', 'SharedSnapshotVolumeCreated', 'CopySnapshot')
ORDER BY eventtime DESC
