param location string
param tags object
param abbrs object
param resourceToken string

resource network 'Microsoft.Network/virtualNetworks@2024-05-01' = {
  name: '${abbrs.virtualNetwork}${resourceToken}'
  location: location
  tags: tags
  properties: {
    addressSpace: { addressPrefixes: ['10.0.0.0/16'] }
    subnets: [
      {
        name: 'endpoints'
        properties: { addressPrefix: '10.0.0.0/24' }
      }
      {
        // Flex Consumption runs where Container Apps do, and delegates its subnet to the same service.
        name: 'functions'
        properties: {
          addressPrefix: '10.0.1.0/24'
          delegations: [{ name: 'functions', properties: { serviceName: 'Microsoft.App/environments' } }]
        }
      }
      {
        name: 'jobs'
        properties: {
          addressPrefix: '10.0.2.0/24'
          delegations: [{ name: 'jobs', properties: { serviceName: 'Microsoft.App/environments' } }]
        }
      }
    ]
  }
}

output networkId string = network.id
output endpointsSubnetId string = '${network.id}/subnets/endpoints'
output functionsSubnetId string = '${network.id}/subnets/functions'
output jobsSubnetId string = '${network.id}/subnets/jobs'
