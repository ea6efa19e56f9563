-- title: Network paths changed
-- answers: Who changed routes, gateways, peering, endpoints or network ACLs?
-- technique: T1599
-- parameter: since time = 30d | events since then
-- parameter: account text | only this account
SELECT
  eventtime, account, region, eventname,
  coalesce(useridentity.arn, useridentity.principalid, useridentity.invokedby) AS who,
  sourceipaddress, errorcode
FROM events
WHERE eventtime >= $since
  AND ($account = '' OR account = $account)
  AND eventname IN ('CreateRoute', 'ReplaceRoute', 'DeleteRoute', 'CreateVpcPeeringConnection',
    'AcceptVpcPeeringConnection', 'CreateInternetGateway', 'AttachInternetGateway',
    'CreateNatGateway', 'CreateNetworkAclEntry', 'ReplaceNetworkAclEntry', 'DeleteNetworkAclEntry',
    'CreateVpcEndpoint', 'CreateTransitGateway', 'CreateTrafficMirrorSession',
    'CreateTrafficMirrorTarget', 'AuthorizeSecurityGroupEgress', 'AuthorizeSecurityGroupIngress',
    'RevokeSecurityGroupIngress', 'CreateSecurityGroup', 'DeleteSecurityGroup')
ORDER BY eventtime DESC
