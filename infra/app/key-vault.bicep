param location string
param tags object
param abbrs object
param resourceToken string
param vnetEnabled bool
param sources string
@secure()
param credentials object

// Credentials of each source, as its file below shared/sources names them.
var namesBySource = {
  alpaca: ['ALPACA_KEY_ID', 'ALPACA_SECRET_KEY']
  fred: ['FRED_API_KEY']
  massive: ['MASSIVE_API_KEY']
}
var given = filter(split(replace(sources, ' ', ''), ','), source => !empty(source))
var credentialNames = flatten(map(given, source => namesBySource[source]))

resource vault 'Microsoft.KeyVault/vaults@2024-11-01' = {
  name: '${abbrs.keyVault}${resourceToken}'
  location: location
  tags: tags
  properties: {
    tenantId: tenant().tenantId
    sku: { family: 'A', name: 'standard' }
    enableRbacAuthorization: true
    enableSoftDelete: true
    softDeleteRetentionInDays: 7
    publicNetworkAccess: vnetEnabled ? 'Disabled' : 'Enabled'
    networkAcls: { defaultAction: vnetEnabled ? 'Deny' : 'Allow', bypass: 'AzureServices' }
  }
}

// A name in a vault has no underscore. Without a value the secret stays what it was.
resource secrets 'Microsoft.KeyVault/vaults/secrets@2024-11-01' = [
  for name in credentialNames: if (!empty(credentials[?name] ?? '')) {
    parent: vault
    name: toLower(replace(name, '_', '-'))
    properties: { value: credentials[?name] ?? '' }
  }
]

output vaultId string = vault.id
output vaultName string = vault.name
output vaultUri string = vault.properties.vaultUri
output credentialNames array = credentialNames
