param resourceToken string
param hostStorageName string
param lakeStorageName string
param vaultName string
param registryName string
param applicationInsightsName string
param appPrincipalId string
param maintenancePrincipalId string
param principalId string
param principalType string
param operatorGroupId string
param rawWriter string

var roleIds = {
  StorageBlobDataOwner: 'b7e6dc6d-f1e8-4753-8033-0f276bb0955b'
  StorageBlobDataContributor: 'ba92f5b4-2d11-453d-a403-e96b0029c9fe'
  StorageBlobDataReader: '2a2b9908-6ea1-4ae2-8e65-a410df84e7d1'
  StorageQueueDataContributor: '974c5e8b-45b9-4653-ba55-5f855dd0fb88'
  StorageTableDataContributor: '0a9a7e1f-b9d0-4cc4-a60d-0319b160aaa3'
  KeyVaultSecretsUser: '4633458b-17de-408a-b874-0445c86b69e6'
  MonitoringMetricsPublisher: '3913510d-42f4-4e42-8a64-420c390055eb'
  AcrPull: '7f951dda-4ed3-4680-a7ca-43fe172d538d'
}
var blobs = 'Microsoft.Storage/storageAccounts/blobServices/containers/blobs'

// What a raw page needs: to be written once. `add/action` creates a blob, `write` would also overwrite one.
var rawDataActions = {
  'add-only': ['${blobs}/read', '${blobs}/add/action']
  'no-delete': ['${blobs}/read', '${blobs}/add/action', '${blobs}/write']
}

var people = concat(
  [{ id: principalId, type: principalType }],
  empty(operatorGroupId) ? [] : [{ id: operatorGroupId, type: 'Group' }]
)

resource host 'Microsoft.Storage/storageAccounts@2025-06-01' existing = {
  name: hostStorageName
}

resource lake 'Microsoft.Storage/storageAccounts@2025-06-01' existing = {
  name: lakeStorageName
}

resource lakeBlobs 'Microsoft.Storage/storageAccounts/blobServices@2025-01-01' existing = {
  parent: lake
  name: 'default'
}

resource landing 'Microsoft.Storage/storageAccounts/blobServices/containers@2025-01-01' existing = {
  parent: lakeBlobs
  name: 'landing'
}

resource raw 'Microsoft.Storage/storageAccounts/blobServices/containers@2025-01-01' existing = {
  parent: lakeBlobs
  name: 'raw'
}

resource curated 'Microsoft.Storage/storageAccounts/blobServices/containers@2025-01-01' existing = {
  parent: lakeBlobs
  name: 'curated'
}

resource metadata 'Microsoft.Storage/storageAccounts/blobServices/containers@2025-01-01' existing = {
  parent: lakeBlobs
  name: 'metadata'
}

resource archive 'Microsoft.Storage/storageAccounts/blobServices/containers@2025-01-01' existing = {
  parent: lakeBlobs
  name: 'archive'
}

resource vault 'Microsoft.KeyVault/vaults@2024-11-01' existing = {
  name: vaultName
}

resource registry 'Microsoft.ContainerRegistry/registries@2023-07-01' existing = {
  name: registryName
}

resource applicationInsights 'Microsoft.Insights/components@2020-02-02' existing = {
  name: applicationInsightsName
}

// Names of roles are unique in a tenant.
resource rawWriterRole 'Microsoft.Authorization/roleDefinitions@2022-04-01' = {
  name: guid(resourceGroup().id, 'raw-writer')
  properties: {
    roleName: 'Tributary raw writer ${resourceToken}'
    description: 'Reads raw pages and creates them; overwrites and deletes none'
    type: 'CustomRole'
    permissions: [
      {
        actions: ['Microsoft.Storage/storageAccounts/blobServices/containers/read']
        notActions: []
        dataActions: rawDataActions[rawWriter]
        notDataActions: []
      }
    ]
    assignableScopes: [resourceGroup().id]
  }
}

resource appHostBlobs 'Microsoft.Authorization/roleAssignments@2022-04-01' = {
  name: guid(host.id, appPrincipalId, roleIds.StorageBlobDataOwner)
  scope: host
  properties: {
    principalId: appPrincipalId
    principalType: 'ServicePrincipal'
    roleDefinitionId: subscriptionResourceId('Microsoft.Authorization/roleDefinitions', roleIds.StorageBlobDataOwner)
  }
}

resource appHostQueues 'Microsoft.Authorization/roleAssignments@2022-04-01' = {
  name: guid(host.id, appPrincipalId, roleIds.StorageQueueDataContributor)
  scope: host
  properties: {
    principalId: appPrincipalId
    principalType: 'ServicePrincipal'
    roleDefinitionId: subscriptionResourceId('Microsoft.Authorization/roleDefinitions', roleIds.StorageQueueDataContributor)
  }
}

resource appHostTables 'Microsoft.Authorization/roleAssignments@2022-04-01' = {
  name: guid(host.id, appPrincipalId, roleIds.StorageTableDataContributor)
  scope: host
  properties: {
    principalId: appPrincipalId
    principalType: 'ServicePrincipal'
    roleDefinitionId: subscriptionResourceId('Microsoft.Authorization/roleDefinitions', roleIds.StorageTableDataContributor)
  }
}

resource appLanding 'Microsoft.Authorization/roleAssignments@2022-04-01' = {
  name: guid(landing.id, appPrincipalId, roleIds.StorageBlobDataReader)
  scope: landing
  properties: {
    principalId: appPrincipalId
    principalType: 'ServicePrincipal'
    roleDefinitionId: subscriptionResourceId('Microsoft.Authorization/roleDefinitions', roleIds.StorageBlobDataReader)
  }
}

resource appRaw 'Microsoft.Authorization/roleAssignments@2022-04-01' = {
  name: guid(raw.id, appPrincipalId, rawWriterRole.id)
  scope: raw
  properties: {
    principalId: appPrincipalId
    principalType: 'ServicePrincipal'
    roleDefinitionId: rawWriterRole.id
  }
}

resource appCurated 'Microsoft.Authorization/roleAssignments@2022-04-01' = {
  name: guid(curated.id, appPrincipalId, roleIds.StorageBlobDataContributor)
  scope: curated
  properties: {
    principalId: appPrincipalId
    principalType: 'ServicePrincipal'
    roleDefinitionId: subscriptionResourceId('Microsoft.Authorization/roleDefinitions', roleIds.StorageBlobDataContributor)
  }
}

resource appMetadata 'Microsoft.Authorization/roleAssignments@2022-04-01' = {
  name: guid(metadata.id, appPrincipalId, roleIds.StorageBlobDataContributor)
  scope: metadata
  properties: {
    principalId: appPrincipalId
    principalType: 'ServicePrincipal'
    roleDefinitionId: subscriptionResourceId('Microsoft.Authorization/roleDefinitions', roleIds.StorageBlobDataContributor)
  }
}

resource appArchive 'Microsoft.Authorization/roleAssignments@2022-04-01' = {
  name: guid(archive.id, appPrincipalId, roleIds.StorageBlobDataReader)
  scope: archive
  properties: {
    principalId: appPrincipalId
    principalType: 'ServicePrincipal'
    roleDefinitionId: subscriptionResourceId('Microsoft.Authorization/roleDefinitions', roleIds.StorageBlobDataReader)
  }
}

resource appTables 'Microsoft.Authorization/roleAssignments@2022-04-01' = {
  name: guid(lake.id, appPrincipalId, roleIds.StorageTableDataContributor)
  scope: lake
  properties: {
    principalId: appPrincipalId
    principalType: 'ServicePrincipal'
    roleDefinitionId: subscriptionResourceId('Microsoft.Authorization/roleDefinitions', roleIds.StorageTableDataContributor)
  }
}

// Moves raw pages that are older than their retention to `archive`, and removes compacted metadata.
resource maintenanceRaw 'Microsoft.Authorization/roleAssignments@2022-04-01' = {
  name: guid(raw.id, maintenancePrincipalId, roleIds.StorageBlobDataContributor)
  scope: raw
  properties: {
    principalId: maintenancePrincipalId
    principalType: 'ServicePrincipal'
    roleDefinitionId: subscriptionResourceId('Microsoft.Authorization/roleDefinitions', roleIds.StorageBlobDataContributor)
  }
}

resource maintenanceArchive 'Microsoft.Authorization/roleAssignments@2022-04-01' = {
  name: guid(archive.id, maintenancePrincipalId, roleIds.StorageBlobDataContributor)
  scope: archive
  properties: {
    principalId: maintenancePrincipalId
    principalType: 'ServicePrincipal'
    roleDefinitionId: subscriptionResourceId('Microsoft.Authorization/roleDefinitions', roleIds.StorageBlobDataContributor)
  }
}

resource maintenanceMetadata 'Microsoft.Authorization/roleAssignments@2022-04-01' = {
  name: guid(metadata.id, maintenancePrincipalId, roleIds.StorageBlobDataContributor)
  scope: metadata
  properties: {
    principalId: maintenancePrincipalId
    principalType: 'ServicePrincipal'
    roleDefinitionId: subscriptionResourceId('Microsoft.Authorization/roleDefinitions', roleIds.StorageBlobDataContributor)
  }
}

resource maintenanceTables 'Microsoft.Authorization/roleAssignments@2022-04-01' = {
  name: guid(lake.id, maintenancePrincipalId, roleIds.StorageTableDataContributor)
  scope: lake
  properties: {
    principalId: maintenancePrincipalId
    principalType: 'ServicePrincipal'
    roleDefinitionId: subscriptionResourceId('Microsoft.Authorization/roleDefinitions', roleIds.StorageTableDataContributor)
  }
}

resource appVault 'Microsoft.Authorization/roleAssignments@2022-04-01' = {
  name: guid(vault.id, appPrincipalId, roleIds.KeyVaultSecretsUser)
  scope: vault
  properties: {
    principalId: appPrincipalId
    principalType: 'ServicePrincipal'
    roleDefinitionId: subscriptionResourceId('Microsoft.Authorization/roleDefinitions', roleIds.KeyVaultSecretsUser)
  }
}

resource appMetrics 'Microsoft.Authorization/roleAssignments@2022-04-01' = {
  name: guid(applicationInsights.id, appPrincipalId, roleIds.MonitoringMetricsPublisher)
  scope: applicationInsights
  properties: {
    principalId: appPrincipalId
    principalType: 'ServicePrincipal'
    roleDefinitionId: subscriptionResourceId('Microsoft.Authorization/roleDefinitions', roleIds.MonitoringMetricsPublisher)
  }
}

resource pulls 'Microsoft.Authorization/roleAssignments@2022-04-01' = [
  for puller in [appPrincipalId, maintenancePrincipalId]: {
    name: guid(registry.id, puller, roleIds.AcrPull)
    scope: registry
    properties: {
      principalId: puller
      principalType: 'ServicePrincipal'
      roleDefinitionId: subscriptionResourceId('Microsoft.Authorization/roleDefinitions', roleIds.AcrPull)
    }
  }
]

// Without these even an Owner sees no data: shared keys are off.
resource peopleLakeBlobs 'Microsoft.Authorization/roleAssignments@2022-04-01' = [
  for person in people: {
    name: guid(lake.id, person.id, roleIds.StorageBlobDataContributor)
    scope: lake
    properties: {
      principalId: person.id
      principalType: person.type
      roleDefinitionId: subscriptionResourceId('Microsoft.Authorization/roleDefinitions', roleIds.StorageBlobDataContributor)
    }
  }
]

resource peopleLakeTables 'Microsoft.Authorization/roleAssignments@2022-04-01' = [
  for person in people: {
    name: guid(lake.id, person.id, roleIds.StorageTableDataContributor)
    scope: lake
    properties: {
      principalId: person.id
      principalType: person.type
      roleDefinitionId: subscriptionResourceId('Microsoft.Authorization/roleDefinitions', roleIds.StorageTableDataContributor)
    }
  }
]

resource peopleHostBlobs 'Microsoft.Authorization/roleAssignments@2022-04-01' = [
  for person in people: {
    name: guid(host.id, person.id, roleIds.StorageBlobDataReader)
    scope: host
    properties: {
      principalId: person.id
      principalType: person.type
      roleDefinitionId: subscriptionResourceId('Microsoft.Authorization/roleDefinitions', roleIds.StorageBlobDataReader)
    }
  }
]

resource peopleHostQueues 'Microsoft.Authorization/roleAssignments@2022-04-01' = [
  for person in people: {
    name: guid(host.id, person.id, roleIds.StorageQueueDataContributor)
    scope: host
    properties: {
      principalId: person.id
      principalType: person.type
      roleDefinitionId: subscriptionResourceId('Microsoft.Authorization/roleDefinitions', roleIds.StorageQueueDataContributor)
    }
  }
]
