param location string
param tags object
param abbrs object
param resourceToken string

// What the functions and the backfill job are.
resource app 'Microsoft.ManagedIdentity/userAssignedIdentities@2023-01-31' = {
  name: '${abbrs.managedIdentity}app-${resourceToken}'
  location: location
  tags: tags
}

// What the job migrate is: the administrator of PostgreSQL, and nothing in the lake.
resource maintenance 'Microsoft.ManagedIdentity/userAssignedIdentities@2023-01-31' = {
  name: '${abbrs.managedIdentity}maintenance-${resourceToken}'
  location: location
  tags: tags
}

output appId string = app.id
output appName string = app.name
output appClientId string = app.properties.clientId
output appPrincipalId string = app.properties.principalId
output maintenanceId string = maintenance.id
output maintenanceName string = maintenance.name
output maintenanceClientId string = maintenance.properties.clientId
output maintenancePrincipalId string = maintenance.properties.principalId
