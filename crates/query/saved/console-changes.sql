-- title: Changes made in the console
-- answers: What did people change by hand?
-- parameter: since time = 30d | events since then
-- parameter: account text | only this account
SELECT eventtime, account, region, eventsource, eventname, useridentity.arn AS who, sourceipaddress
FROM events
WHERE eventtime >= $since
  AND ($account = '' OR account = $account)
  AND sessioncredentialfromconsole = 'true'
  AND readonly IS FALSE
  AND errorcode IS NULL
ORDER BY eventtime DESC
