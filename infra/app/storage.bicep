param location string
param tags object
param abbrs object
param resourceToken string
param vnetEnabled bool
param rawImmutabilityDays int

var queueNames = ['land', 'land-poison', 'curate', 'curate-poison', 'metadata', 'metadata-poison']
var containerNames = ['landing', 'raw', 'curated', 'metadata', 'archive']
var tableNames = ['progress', 'MetadataLatest']
var packageContainerName = 'app-package'

// No shared keys: whoever reads or writes does it as someone, with a role.
var accountProperties = {
  accessTier: 'Hot'
  allowBlobPublicAccess: false
  allowSharedKeyAccess: false
  allowCrossTenantReplication: false
  defaultToOAuthAuthentication: true
  minimumTlsVersion: 'TLS1_2'
  supportsHttpsTrafficOnly: true
  publicNetworkAccess: vnetEnabled ? 'Disabled' : 'Enabled'
  networkAcls: { defaultAction: vnetEnabled ? 'Deny' : 'Allow', bypass: 'None' }
}

// What the host needs: its locks and keys, the package, the queues.
resource host 'Microsoft.Storage/storageAccounts@2025-06-01' = {
  name: '${abbrs.storageAccount}host${resourceToken}'
  location: location
  tags: tags
  kind: 'StorageV2'
  sku: { name: 'Standard_LRS' }
  properties: accountProperties
}

resource hostBlobs 'Microsoft.Storage/storageAccounts/blobServices@2025-01-01' = {
  parent: host
  name: 'default'
}

resource packageContainer 'Microsoft.Storage/storageAccounts/blobServices/containers@2025-01-01' = {
  parent: hostBlobs
  name: packageContainerName
}

resource hostQueues 'Microsoft.Storage/storageAccounts/queueServices@2025-01-01' = {
  parent: host
  name: 'default'
}

resource queues 'Microsoft.Storage/storageAccounts/queueServices/queues@2025-01-01' = [
  for name in queueNames: {
    parent: hostQueues
    name: name
  }
]

// Readers such as Spark want folders. The namespace forbids versioning: a wrong curated file is rebuilt from raw.
resource lake 'Microsoft.Storage/storageAccounts@2025-06-01' = {
  name: '${abbrs.storageAccount}lake${resourceToken}'
  location: location
  tags: tags
  kind: 'StorageV2'
  sku: { name: 'Standard_LRS' }
  properties: union(accountProperties, { isHnsEnabled: true })
}

resource lakeBlobs 'Microsoft.Storage/storageAccounts/blobServices@2025-01-01' = {
  parent: lake
  name: 'default'
  properties: {
    deleteRetentionPolicy: { enabled: true, days: 7 }
    containerDeleteRetentionPolicy: { enabled: true, days: 7 }
  }
}

resource containers 'Microsoft.Storage/storageAccounts/blobServices/containers@2025-01-01' = [
  for name in containerNames: {
    parent: lakeBlobs
    name: name
    properties: { publicAccess: 'None' }
  }
]

// Unlocked: an administrator can remove it, a reader of keys or a bug cannot. docs/deploy.md, teardown.
resource rawImmutability 'Microsoft.Storage/storageAccounts/blobServices/containers/immutabilityPolicies@2025-01-01' = if (rawImmutabilityDays > 0) {
  name: '${lake.name}/default/raw/default'
  dependsOn: [containers]
  properties: {
    immutabilityPeriodSinceCreationInDays: rawImmutabilityDays
    allowProtectedAppendWrites: false
  }
}

resource lakeTables 'Microsoft.Storage/storageAccounts/tableServices@2025-01-01' = {
  parent: lake
  name: 'default'
}

resource tables 'Microsoft.Storage/storageAccounts/tableServices/tables@2025-01-01' = [
  for name in tableNames: {
    parent: lakeTables
    name: name
  }
]

output hostStorageId string = host.id
output hostStorageName string = host.name
output hostBlobEndpoint string = host.properties.primaryEndpoints.blob
output hostQueueEndpoint string = host.properties.primaryEndpoints.queue
output hostTableEndpoint string = host.properties.primaryEndpoints.table
output packageContainerUrl string = '${host.properties.primaryEndpoints.blob}${packageContainer.name}'
output lakeStorageId string = lake.id
output lakeStorageName string = lake.name
output lakeBlobEndpoint string = lake.properties.primaryEndpoints.blob
