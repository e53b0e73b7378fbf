param location string
param tags object
param resourceToken string
param networkId string
param subnetId string
param hostStorageId string
param lakeStorageId string
param postgresId string
param vaultId string

var suffix = environment().suffixes.storage

// `dfs` is for readers of the lake such as Spark; our own code speaks `blob`.
var targets = [
  { name: 'host-blob', id: hostStorageId, group: 'blob', zone: 'privatelink.blob.${suffix}' }
  { name: 'host-queue', id: hostStorageId, group: 'queue', zone: 'privatelink.queue.${suffix}' }
  { name: 'host-table', id: hostStorageId, group: 'table', zone: 'privatelink.table.${suffix}' }
  { name: 'lake-blob', id: lakeStorageId, group: 'blob', zone: 'privatelink.blob.${suffix}' }
  { name: 'lake-dfs', id: lakeStorageId, group: 'dfs', zone: 'privatelink.dfs.${suffix}' }
  { name: 'lake-table', id: lakeStorageId, group: 'table', zone: 'privatelink.table.${suffix}' }
  { name: 'postgres', id: postgresId, group: 'postgresqlServer', zone: 'privatelink.postgres.database.azure.com' }
  { name: 'vault', id: vaultId, group: 'vault', zone: 'privatelink.vaultcore.azure.net' }
]
var zoneNames = union(map(targets, target => target.zone), [])

resource zones 'Microsoft.Network/privateDnsZones@2020-06-01' = [
  for zone in zoneNames: {
    name: zone
    location: 'global'
    tags: tags
  }
]

resource links 'Microsoft.Network/privateDnsZones/virtualNetworkLinks@2020-06-01' = [
  for (zone, i) in zoneNames: {
    parent: zones[i]
    name: 'link-${resourceToken}'
    location: 'global'
    properties: { registrationEnabled: false, virtualNetwork: { id: networkId } }
  }
]

resource endpoints 'Microsoft.Network/privateEndpoints@2024-05-01' = [
  for target in targets: {
    name: 'pe-${target.name}-${resourceToken}'
    location: location
    tags: tags
    properties: {
      subnet: { id: subnetId }
      privateLinkServiceConnections: [
        { name: target.name, properties: { privateLinkServiceId: target.id, groupIds: [target.group] } }
      ]
    }
  }
]

resource records 'Microsoft.Network/privateEndpoints/privateDnsZoneGroups@2024-05-01' = [
  for (target, i) in targets: {
    parent: endpoints[i]
    name: 'default'
    dependsOn: [zones]
    properties: {
      privateDnsZoneConfigs: [
        { name: 'zone', properties: { privateDnsZoneId: resourceId('Microsoft.Network/privateDnsZones', target.zone) } }
      ]
    }
  }
]
