targetScope = 'subscription'

@minLength(1)
@maxLength(64)
@description('Name of the azd environment: part of every name and tag')
param environmentName string

@metadata({ azd: { type: 'location' } })
@description('Region of every resource; it must offer Flex Consumption')
param location string

@description('Object id of the person or pipeline that deploys: gets the data roles that the portal and the command line need')
param principalId string

@allowed(['User', 'ServicePrincipal'])
param principalType string = 'User'

@description('Entra group of the operators: its members enter PostgreSQL and the storage accounts; empty: nobody but the deploying one')
param operatorGroupId string = ''

@allowed(['22'])
param nodeVersion string = '22'

@allowed([512, 2048, 4096])
param instanceMemoryMB int = 2048
@description('otel: a span for every operation of storage, PostgreSQL and providers')
@allowed(['off', 'otel'])
param telemetry string = 'off'

@minValue(1)
@maxValue(1000)
@description('Of each function group: all HTTP together, every queue and every timer alone. Times 2 connections it must fit postgresSku')
param maximumInstanceCount int = 18

@allowed(['Standard_B1ms', 'Standard_B2s', 'Standard_B2ms', 'Standard_D2ds_v5', 'Standard_D4ds_v5'])
param postgresSku string = 'Standard_B2s'

@minValue(32)
param postgresStorageGB int = 32

@description('Private endpoints for PostgreSQL, storage and the vault. The network mode of PostgreSQL can only be tightened later')
param vnetEnabled bool = false

@minValue(0)
@maxValue(146000)
@description('Days for which nobody, whatever their role, may change or delete a raw page; 0: no policy')
param rawImmutabilityDays int = 7

@allowed(['add-only', 'no-delete'])
@description('What the app may do in raw beside reading: create blobs, or write but not delete them')
param rawWriter string = 'add-only'

@description('Sources whose credentials the vault holds, separated by commas: alpaca, fred, massive')
param sources string = ''

@secure()
@description('Credentials by the name of their setting. Those that are given are written to the vault; empty ones leave it as it is')
param credentials object = {}

@description('Who is mailed when an alert opens; empty: alerts are only shown')
param alertEmail string = ''

@minValue(1)
@maxValue(32)
@description('Replicas of the backfill job that work side by side')
param backfillParallelism int = 2

var abbrs = loadJsonContent('./abbreviations.json')
var resourceToken = toLower(uniqueString(subscription().id, environmentName, location))
var tags = { 'azd-env-name': environmentName }
var backfillJobName = '${abbrs.containerAppsJob}backfill-${resourceToken}'
var nightlyJobName = '${abbrs.containerAppsJob}nightly-${resourceToken}'
var migrateJobName = '${abbrs.containerAppsJob}migrate-${resourceToken}'
var databaseName = 'tributary'

resource group 'Microsoft.Resources/resourceGroups@2024-03-01' = {
  name: '${abbrs.resourceGroup}${environmentName}'
  location: location
  tags: tags
}

module identities './app/identities.bicep' = {
  name: 'identities'
  scope: group
  params: { location: location, tags: tags, abbrs: abbrs, resourceToken: resourceToken }
}

module network './app/network.bicep' = if (vnetEnabled) {
  name: 'network'
  scope: group
  params: { location: location, tags: tags, abbrs: abbrs, resourceToken: resourceToken }
}

module monitoring './app/monitoring.bicep' = {
  name: 'monitoring'
  scope: group
  params: { location: location, tags: tags, abbrs: abbrs, resourceToken: resourceToken, alertEmail: alertEmail }
}

module storage './app/storage.bicep' = {
  name: 'storage'
  scope: group
  params: {
    location: location
    tags: tags
    abbrs: abbrs
    resourceToken: resourceToken
    vnetEnabled: vnetEnabled
    rawImmutabilityDays: rawImmutabilityDays
  }
}

module containers './app/containers.bicep' = {
  name: 'containers'
  scope: group
  params: {
    location: location
    tags: tags
    abbrs: abbrs
    resourceToken: resourceToken
    workspaceId: monitoring.outputs.workspaceId
    subnetId: vnetEnabled ? network!.outputs.jobsSubnetId : ''
  }
}

module vault './app/key-vault.bicep' = {
  name: 'key-vault'
  scope: group
  params: {
    location: location
    tags: tags
    abbrs: abbrs
    resourceToken: resourceToken
    vnetEnabled: vnetEnabled
    sources: sources
    credentials: credentials
  }
}

module roles './app/roles.bicep' = {
  name: 'roles'
  scope: group
  params: {
    resourceToken: resourceToken
    hostStorageName: storage.outputs.hostStorageName
    lakeStorageName: storage.outputs.lakeStorageName
    vaultName: vault.outputs.vaultName
    registryName: containers.outputs.registryName
    applicationInsightsName: monitoring.outputs.applicationInsightsName
    appPrincipalId: identities.outputs.appPrincipalId
    maintenancePrincipalId: identities.outputs.maintenancePrincipalId
    principalId: principalId
    principalType: principalType
    operatorGroupId: operatorGroupId
    rawWriter: rawWriter
  }
}

// The slowest resource comes after the roles: until it is there they have spread, and the package can be uploaded.
module postgres './app/postgres.bicep' = {
  name: 'postgres'
  scope: group
  dependsOn: [roles]
  params: {
    location: location
    tags: tags
    abbrs: abbrs
    resourceToken: resourceToken
    vnetEnabled: vnetEnabled
    sku: postgresSku
    storageGB: postgresStorageGB
    administratorName: identities.outputs.maintenanceName
    administratorPrincipalId: identities.outputs.maintenancePrincipalId
  }
}

module endpoints './app/endpoints.bicep' = if (vnetEnabled) {
  name: 'endpoints'
  scope: group
  params: {
    location: location
    tags: tags
    resourceToken: resourceToken
    networkId: vnetEnabled ? network!.outputs.networkId : ''
    subnetId: vnetEnabled ? network!.outputs.endpointsSubnetId : ''
    hostStorageId: storage.outputs.hostStorageId
    lakeStorageId: storage.outputs.lakeStorageId
    postgresId: postgres.outputs.serverId
    vaultId: vault.outputs.vaultId
  }
}

module functions './app/functions.bicep' = {
  name: 'functions'
  scope: group
  dependsOn: [roles, endpoints]
  params: {
    location: location
    tags: tags
    abbrs: abbrs
    resourceToken: resourceToken
    nodeVersion: nodeVersion
    instanceMemoryMB: instanceMemoryMB
    telemetry: telemetry
    maximumInstanceCount: maximumInstanceCount
    subnetId: vnetEnabled ? network!.outputs.functionsSubnetId : ''
    identityId: identities.outputs.appId
    identityClientId: identities.outputs.appClientId
    identityName: identities.outputs.appName
    packageContainerUrl: storage.outputs.packageContainerUrl
    hostBlobEndpoint: storage.outputs.hostBlobEndpoint
    hostQueueEndpoint: storage.outputs.hostQueueEndpoint
    hostTableEndpoint: storage.outputs.hostTableEndpoint
    lakeBlobEndpoint: storage.outputs.lakeBlobEndpoint
    postgresHost: postgres.outputs.host
    databaseName: databaseName
    vaultUri: vault.outputs.vaultUri
    credentialNames: vault.outputs.credentialNames
    applicationInsightsName: monitoring.outputs.applicationInsightsName
  }
}

module alerts './app/alerts.bicep' = {
  name: 'alerts'
  scope: group
  params: {
    location: location
    tags: tags
    workspaceId: monitoring.outputs.workspaceId
    actionGroupId: monitoring.outputs.actionGroupId
    postgresId: postgres.outputs.serverId
    postgresUserConnections: postgres.outputs.userConnections
  }
}

module workbook './app/workbook.bicep' = {
  name: 'workbook'
  scope: group
  params: { location: location, tags: tags, workspaceId: monitoring.outputs.workspaceId }
}

// Read by azd itself.
output AZURE_LOCATION string = location
output AZURE_RESOURCE_GROUP string = group.name
output AZURE_CONTAINER_REGISTRY_ENDPOINT string = containers.outputs.registryEndpoint

// Read by infra/jobs.parameters.json and by the hook after its deployment.
output CONTAINER_APPS_ENVIRONMENT_ID string = containers.outputs.environmentId
output APP_IDENTITY_ID string = identities.outputs.appId
output APP_IDENTITY_CLIENT_ID string = identities.outputs.appClientId
output APP_IDENTITY_PRINCIPAL_ID string = identities.outputs.appPrincipalId
output APP_IDENTITY_NAME string = identities.outputs.appName
output MAINTENANCE_IDENTITY_ID string = identities.outputs.maintenanceId
output MAINTENANCE_IDENTITY_CLIENT_ID string = identities.outputs.maintenanceClientId
output MAINTENANCE_IDENTITY_NAME string = identities.outputs.maintenanceName
output HOST_BLOB_ENDPOINT string = storage.outputs.hostBlobEndpoint
output HOST_QUEUE_ENDPOINT string = storage.outputs.hostQueueEndpoint
output LAKE_BLOB_ENDPOINT string = storage.outputs.lakeBlobEndpoint
output POSTGRES_HOST string = postgres.outputs.host
output POSTGRES_DATABASE string = databaseName
output KEY_VAULT_URI string = vault.outputs.vaultUri
output CREDENTIAL_NAMES string = join(vault.outputs.credentialNames, ',')
output MIGRATE_JOB_NAME string = migrateJobName
output BACKFILL_JOB_NAME string = backfillJobName
output NIGHTLY_JOB_NAME string = nightlyJobName
output BACKFILL_PARALLELISM int = backfillParallelism

// For people: docs/portal.md.
output FUNCTION_APP_NAME string = functions.outputs.name
output STATUS_URL string = functions.outputs.statusUrl
