param location string
param tags object
param abbrs object
param resourceToken string
param vnetEnabled bool
param sku string
param storageGB int
param administratorName string
param administratorPrincipalId string

// What the server leaves to users of max_connections, which is fixed when it is made. A test compares it with
// instances x 2 of every function group and job.
var userConnections = {
  Standard_B1ms: 35
  Standard_B2s: 414
  Standard_B2ms: 844
  Standard_D2ds_v5: 844
  Standard_D4ds_v5: 1703
}

resource server 'Microsoft.DBforPostgreSQL/flexibleServers@2025-08-01' = {
  name: '${abbrs.postgresServer}${resourceToken}'
  location: location
  tags: tags
  sku: { name: sku, tier: startsWith(sku, 'Standard_B') ? 'Burstable' : 'GeneralPurpose' }
  properties: {
    version: '17'
    createMode: 'Default'
    authConfig: { activeDirectoryAuth: 'Enabled', passwordAuth: 'Disabled', tenantId: tenant().tenantId }
    // At 95 % the server turns read-only: it grows before that.
    storage: { storageSizeGB: storageGB, autoGrow: 'Enabled' }
    backup: { backupRetentionDays: 7, geoRedundantBackup: 'Disabled' }
    highAvailability: { mode: 'Disabled' }
    network: { publicNetworkAccess: vnetEnabled ? 'Disabled' : 'Enabled' }
  }
}

// 0.0.0.0 stands for addresses of Azure. One child after the other: beside each other they fail.
resource firewall 'Microsoft.DBforPostgreSQL/flexibleServers/firewallRules@2025-08-01' = if (!vnetEnabled) {
  parent: server
  name: 'azure-services'
  properties: { startIpAddress: '0.0.0.0', endIpAddress: '0.0.0.0' }
}

resource administrator 'Microsoft.DBforPostgreSQL/flexibleServers/administrators@2025-08-01' = {
  parent: server
  name: administratorPrincipalId
  dependsOn: [firewall]
  properties: {
    principalName: administratorName
    principalType: 'ServicePrincipal'
    tenantId: tenant().tenantId
  }
}

output serverId string = server.id
output host string = server.properties.fullyQualifiedDomainName
output userConnections int = userConnections[sku]
