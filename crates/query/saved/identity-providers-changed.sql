-- title: Identity providers changed
-- answers: Who changed whose word on identity is believed?
-- technique: T1484.002
-- parameter: since time = 30d | events since then
-- parameter: account text | only this account
SELECT
  eventtime, account, region, eventname,
  coalesce(useridentity.arn, useridentity.principalid, useridentity.invokedby) AS who,
  sourceipaddress, errorcode
FROM events
WHERE eventtime >= $since
  AND ($account = '' OR account = $account)
  AND eventname IN ('CreateSAMLProvider', 'UpdateSAMLProvider', 'DeleteSAMLProvider',
    'CreateOpenIDConnectProvider', 'UpdateOpenIDConnectProviderThumbprint',
    'AddClientIDToOpenIDConnectProvider', 'DeleteOpenIDConnectProvider')
ORDER BY eventtime DESC
