-- title: Commands run on instances
-- answers: Who ran something on instances by way of the cloud?
-- technique: T1651
-- parameter: since time = 30d | events since then
-- parameter: account text | only this account
SELECT
  eventtime, account, region, eventname,
  coalesce(useridentity.arn, useridentity.principalid, useridentity.invokedby) AS who,
  sourceipaddress, errorcode,
  requestparameters
FROM events
WHERE eventtime >= $since
  AND ($account = '' OR account = $account)
  AND eventname IN ('SendCommand', 'StartSession', 'ResumeSession', 'CreateAssociation',
    'SendSSHPublicKey', 'SendSerialConsoleSSHPublicKey', 'ExecuteCommand')
ORDER BY eventtime DESC
