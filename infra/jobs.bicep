// Deployed by azd with the service `jobs`, once its image is built.
param location string = resourceGroup().location
param environmentName string
param image string
param registryEndpoint string
param environmentId string
param migrateJobName string
param backfillJobName string
param nightlyJobName string
param backfillParallelism int
param appIdentityId string
param appIdentityClientId string
param appIdentityPrincipalId string
param appIdentityName string
param maintenanceIdentityId string
param maintenanceIdentityClientId string
param maintenanceIdentityName string
param operatorGroupId string
param operatorGroupName string
param hostBlobEndpoint string
param hostQueueEndpoint string
param lakeBlobEndpoint string
param postgresHost string
param databaseName string
param vaultUri string
@description('Days after which raw pages go to the archive: alpaca=400d,fred=730d. Empty: they stay')
param rawRetention string = ''
@description('Names of settings, separated by commas')
param credentialNames string

var tags = { 'azd-env-name': environmentName }
var credentials = filter(split(credentialNames, ','), name => !empty(name))

// Once per deployment, before the functions are replaced. It reaches the database and nothing else.
resource migrate 'Microsoft.App/jobs@2025-07-01' = {
  name: migrateJobName
  location: location
  tags: tags
  identity: { type: 'UserAssigned', userAssignedIdentities: { '${maintenanceIdentityId}': {} } }
  properties: {
    environmentId: environmentId
    workloadProfileName: 'Consumption'
    configuration: {
      triggerType: 'Manual'
      replicaTimeout: 1800
      replicaRetryLimit: 2
      manualTriggerConfig: { parallelism: 1, replicaCompletionCount: 1 }
      registries: [{ server: registryEndpoint, identity: maintenanceIdentityId }]
    }
    template: {
      containers: [
        {
          name: 'migrate'
          image: image
          command: ['node', '--enable-source-maps', 'dist/jobs/migrate.js']
          resources: { cpu: json('0.5'), memory: '1Gi' }
          env: [
            { name: 'AZURE_CLIENT_ID', value: maintenanceIdentityClientId }
            { name: 'PGHOST', value: postgresHost }
            { name: 'PGDATABASE', value: databaseName }
            { name: 'PGUSER', value: maintenanceIdentityName }
            { name: 'MIGRATE_APP_ROLE', value: appIdentityName }
            { name: 'MIGRATE_APP_PRINCIPAL_ID', value: appIdentityPrincipalId }
            { name: 'MIGRATE_OPERATOR_ROLE', value: operatorGroupName }
            { name: 'MIGRATE_OPERATOR_PRINCIPAL_ID', value: operatorGroupId }
          ]
        }
      ]
    }
  }
}

// Once a day: catalog, compaction, archive. As maintenance, which alone may remove a raw page.
resource nightly 'Microsoft.App/jobs@2025-07-01' = {
  name: nightlyJobName
  location: location
  tags: tags
  identity: { type: 'UserAssigned', userAssignedIdentities: { '${maintenanceIdentityId}': {} } }
  properties: {
    environmentId: environmentId
    workloadProfileName: 'Consumption'
    configuration: {
      triggerType: 'Schedule'
      replicaTimeout: 14400
      replicaRetryLimit: 1
      scheduleTriggerConfig: { cronExpression: '15 2 * * *', parallelism: 1, replicaCompletionCount: 1 }
      registries: [{ server: registryEndpoint, identity: maintenanceIdentityId }]
    }
    template: {
      containers: [
        {
          name: 'nightly'
          image: image
          command: ['node', '--enable-source-maps', 'dist/jobs/nightly.js']
          resources: { cpu: json('1'), memory: '2Gi' }
          env: [
            { name: 'AZURE_CLIENT_ID', value: maintenanceIdentityClientId }
            { name: 'AzureWebJobsStorage__clientId', value: maintenanceIdentityClientId }
            { name: 'AzureWebJobsStorage__blobServiceUri', value: hostBlobEndpoint }
            { name: 'AzureWebJobsStorage__queueServiceUri', value: hostQueueEndpoint }
            { name: 'LAKE_STORAGE__clientId', value: maintenanceIdentityClientId }
            { name: 'LAKE_STORAGE__blobServiceUri', value: lakeBlobEndpoint }
            { name: 'PGHOST', value: postgresHost }
            { name: 'PGDATABASE', value: databaseName }
            { name: 'PGUSER', value: maintenanceIdentityName }
            { name: 'METADATA_REPOSITORY', value: 'postgres' }
            { name: 'METADATA_TENANT', value: 'default' }
            { name: 'TRIBUTARY_RAW_RETENTION', value: rawRetention }
          ]
        }
      ]
    }
  }
}

// Started by hand, without an override: an override replaces the whole template, these settings with it.
resource backfill 'Microsoft.App/jobs@2025-07-01' = {
  name: backfillJobName
  location: location
  tags: union(tags, { 'azd-service-name': 'jobs' })
  identity: { type: 'UserAssigned', userAssignedIdentities: { '${appIdentityId}': {} } }
  properties: {
    environmentId: environmentId
    workloadProfileName: 'Consumption'
    configuration: {
      triggerType: 'Manual'
      // The job ends itself a minute earlier.
      replicaTimeout: 86400
      replicaRetryLimit: 3
      manualTriggerConfig: { parallelism: backfillParallelism, replicaCompletionCount: backfillParallelism }
      registries: [{ server: registryEndpoint, identity: appIdentityId }]
      secrets: map(credentials, name => {
        name: toLower(replace(name, '_', '-'))
        keyVaultUrl: '${vaultUri}secrets/${toLower(replace(name, '_', '-'))}'
        identity: appIdentityId
      })
    }
    template: {
      containers: [
        {
          name: 'backfill'
          image: image
          // Without arguments it is `backfill run --next --job`.
          command: ['node', '--enable-source-maps', 'dist/jobs/backfill.js']
          resources: { cpu: json('1'), memory: '2Gi' }
          env: concat(
            [
              { name: 'AZURE_CLIENT_ID', value: appIdentityClientId }
              { name: 'AzureWebJobsStorage__clientId', value: appIdentityClientId }
              { name: 'AzureWebJobsStorage__blobServiceUri', value: hostBlobEndpoint }
              { name: 'AzureWebJobsStorage__queueServiceUri', value: hostQueueEndpoint }
              { name: 'LAKE_STORAGE__clientId', value: appIdentityClientId }
              { name: 'LAKE_STORAGE__blobServiceUri', value: lakeBlobEndpoint }
              { name: 'PGHOST', value: postgresHost }
              { name: 'PGDATABASE', value: databaseName }
              { name: 'PGUSER', value: appIdentityName }
              { name: 'METADATA_REPOSITORY', value: 'postgres' }
              { name: 'METADATA_TENANT', value: 'default' }
            ],
            map(credentials, name => { name: name, secretRef: toLower(replace(name, '_', '-')) })
          )
        }
      ]
    }
  }
}
