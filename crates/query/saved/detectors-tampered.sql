-- title: Detection services weakened
-- answers: Who switched off GuardDuty, Config, Security Hub, Macie, Inspector or their findings?
-- technique: T1562.001
-- parameter: since time = 30d | events since then
-- parameter: account text | only this account
SELECT
  eventtime, account, region, eventname,
  coalesce(useridentity.arn, useridentity.principalid, useridentity.invokedby) AS who,
  sourceipaddress, errorcode
FROM events
WHERE eventtime >= $since
  AND ($account = '' OR account = $account)
  AND eventname IN ('DeleteDetector', 'UpdateDetector', 'DisassociateFromMasterAccount',
    'DisassociateFromAdministratorAccount', 'DisassociateMembers', 'DeleteMembers',
    'StopMonitoringMembers', 'CreateFilter', 'DeletePublishingDestination',
    'StopConfigurationRecorder', 'DeleteConfigurationRecorder', 'DeleteDeliveryChannel',
    'DeleteConfigRule', 'DisableSecurityHub', 'BatchDisableStandards', 'DisableMacie',
    'DeleteAnalyzer', 'DeleteAlarms', 'DisableAlarmActions', 'DeleteRule', 'DisableRule')
ORDER BY eventtime DESC
