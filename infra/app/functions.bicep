param location string
param tags object
param abbrs object
param resourceToken string
param nodeVersion string
param instanceMemoryMB int
param maximumInstanceCount int
param subnetId string
param identityId string
param identityClientId string
param identityName string
param packageContainerUrl string
param hostBlobEndpoint string
param hostQueueEndpoint string
param hostTableEndpoint string
param lakeBlobEndpoint string
param postgresHost string
param databaseName string
param vaultUri string
param credentialNames array
param applicationInsightsName string
param telemetry string

resource applicationInsights 'Microsoft.Insights/components@2020-02-02' existing = {
  name: applicationInsightsName
}

var settings = {
  AzureWebJobsStorage__credential: 'managedidentity'
  AzureWebJobsStorage__clientId: identityClientId
  AzureWebJobsStorage__blobServiceUri: hostBlobEndpoint
  AzureWebJobsStorage__queueServiceUri: hostQueueEndpoint
  AzureWebJobsStorage__tableServiceUri: hostTableEndpoint
  LAKE_STORAGE__blobServiceUri: lakeBlobEndpoint
  LAKE_STORAGE__clientId: identityClientId
  AZURE_CLIENT_ID: identityClientId
  PGHOST: postgresHost
  PGDATABASE: databaseName
  PGUSER: identityName
  TRIBUTARY_STREAMS: 'streams.json'
  PLAN_SCHEDULE: '0 */5 * * * *'
  SWEEP_SCHEDULE: '30 * * * * *'
  LOOKBACK_SCHEDULE: '0 30 3 * * *'
  TRIBUTARY_LEASE_SECONDS: '60'
  TRIBUTARY_QUARANTINE_ATTEMPTS: '10'
  TRIBUTARY_QUARANTINE_SECONDS: '86400'
  TRIBUTARY_LOG_LEVEL: 'info'
  TELEMETRY: telemetry
  METADATA_REPOSITORY: 'postgres'
  METADATA_TENANT: 'default'
  APPLICATIONINSIGHTS_CONNECTION_STRING: applicationInsights.properties.ConnectionString
  APPLICATIONINSIGHTS_AUTHENTICATION_STRING: 'ClientId=${identityClientId};Authorization=AAD'
}

// A reference that does not resolve stays this text, and the app refuses to start with it.
var credentialSettings = toObject(
  credentialNames,
  name => name,
  name => '@Microsoft.KeyVault(SecretUri=${vaultUri}secrets/${toLower(replace(name, '_', '-'))})'
)

resource plan 'Microsoft.Web/serverfarms@2024-04-01' = {
  name: '${abbrs.functionPlan}${resourceToken}'
  location: location
  tags: tags
  kind: 'functionapp'
  sku: { name: 'FC1', tier: 'FlexConsumption' }
  properties: { reserved: true }
}

resource app 'Microsoft.Web/sites@2025-03-01' = {
  name: '${abbrs.functionApp}${resourceToken}'
  location: location
  tags: union(tags, { 'azd-service-name': 'functions' })
  kind: 'functionapp,linux'
  identity: { type: 'UserAssigned', userAssignedIdentities: { '${identityId}': {} } }
  properties: {
    serverFarmId: plan.id
    httpsOnly: true
    keyVaultReferenceIdentity: identityId
    virtualNetworkSubnetId: empty(subnetId) ? null : subnetId
    functionAppConfig: {
      deployment: {
        storage: {
          type: 'blobContainer'
          value: packageContainerUrl
          authentication: { type: 'UserAssignedIdentity', userAssignedIdentityResourceId: identityId }
        }
      }
      // One instance answers a hundred questions for the status; a provider's quota is shared through PostgreSQL, so
      // instances need no other bound than the database's connections.
      scaleAndConcurrency: {
        instanceMemoryMB: instanceMemoryMB
        maximumInstanceCount: maximumInstanceCount
        triggers: { http: { perInstanceConcurrency: 100 } }
      }
      runtime: { name: 'node', version: nodeVersion }
    }
    // Flex Consumption refuses nearly everything else here.
    siteConfig: {
      minTlsVersion: '1.2'
      appSettings: map(items(union(settings, credentialSettings)), item => { name: item.key, value: item.value })
    }
  }
}

output name string = app.name
output statusUrl string = 'https://${app.properties.defaultHostName}/api/status'
