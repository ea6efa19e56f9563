-- title: Organization changed
-- answers: Who moved, invited or removed accounts, or changed what they may do?
-- technique: T1562
-- parameter: since time = 30d | events since then
-- parameter: account text | only this account
SELECT
  eventtime, account, region, eventname,
  coalesce(useridentity.arn, useridentity.principalid, useridentity.invokedby) AS who,
  sourceipaddress, errorcode
FROM events
WHERE eventtime >= $since
  AND ($account = '' OR account = $account)
  AND eventsource = 'organizations.amazonaws.com'
  AND eventname IN ('LeaveOrganization', 'RemoveAccountFromOrganization',
    'InviteAccountToOrganization', 'CreateAccount', 'CloseAccount', 'MoveAccount', 'AttachPolicy',
    'DetachPolicy', 'DisablePolicyType', 'RegisterDelegatedAdministrator',
    'DeregisterDelegatedAdministrator', 'EnableAWSServiceAccess', 'DisableAWSServiceAccess')
ORDER BY eventtime DESC
