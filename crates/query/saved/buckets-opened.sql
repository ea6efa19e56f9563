-- title: Buckets opened
-- answers: Whose bucket's policy, ACL or public access block changed?
-- technique: T1530
-- parameter: since time = 30d | events since then
-- parameter: account text | only this account
SELECT
  eventtime, account, region, eventname,
  coalesce(useridentity.arn, useridentity.principalid, useridentity.invokedby) AS who,
  sourceipaddress, errorcode,
  json_get(requestparameters, 'bucketName') AS bucket
FROM events
WHERE eventtime >= $since
  AND ($account = '' OR account = $account)
  AND eventname IN ('PutBucketPolicy', 'DeleteBucketPolicy', 'PutBucketAcl', 'PutObjectAcl',
    'PutBucketPublicAccessBlock', 'DeleteBucketPublicAccessBlock', 'PutAccountPublicAccessBlock',
    'DeleteAccountPublicAccessBlock', 'PutBucketOwnershipControls', 'PutBucketWebsite',
    'PutBucketCors', 'PutBucketReplication', 'PutAccessPointPolicy')
ORDER BY eventtime DESC
