param location string
param tags object
param workspaceId string
param actionGroupId string
param postgresId string
param postgresUserConnections int

// The code decides what an alert is (ops.alert, docs/portal.md); this rule carries it to people.
resource opened 'Microsoft.Insights/scheduledQueryRules@2023-12-01' = {
  name: 'tributary-alert-opened'
  location: location
  tags: tags
  properties: {
    displayName: 'Tributary: an alert was opened'
    description: 'Kind, stream and detail: table ops.alert, GET /api/status, or the workbook'
    severity: 2
    enabled: true
    evaluationFrequency: 'PT5M'
    // Longer than the frequency, because lines arrive late; while it is fired it does not fire again.
    windowSize: 'PT15M'
    autoMitigate: true
    scopes: [workspaceId]
    // A new workspace has no such table yet.
    skipQueryValidation: true
    criteria: {
      allOf: [
        {
          query: loadTextContent('../queries/alert-opened.kql')
          timeAggregation: 'Count'
          operator: 'GreaterThan'
          threshold: 0
          dimensions: [{ name: 'kind', operator: 'Include', values: ['*'] }]
          failingPeriods: { numberOfEvaluationPeriods: 1, minFailingPeriodsToAlert: 1 }
        }
      ]
    }
    actions: { actionGroups: [actionGroupId] }
  }
}

// Silence of everything: the sweep says `health` every minute, whatever else there is to say.
resource silent 'Microsoft.Insights/scheduledQueryRules@2023-12-01' = {
  name: 'tributary-no-health'
  location: location
  tags: tags
  properties: {
    displayName: 'Tributary: the sweep has said nothing for 15 minutes'
    description: 'The function app does not run, cannot reach PostgreSQL, or its log does not arrive'
    severity: 1
    enabled: true
    evaluationFrequency: 'PT5M'
    windowSize: 'PT15M'
    autoMitigate: true
    scopes: [workspaceId]
    skipQueryValidation: true
    criteria: {
      allOf: [
        {
          query: loadTextContent('../queries/no-health.kql')
          timeAggregation: 'Total'
          metricMeasureColumn: 'n'
          operator: 'LessThan'
          threshold: 1
          failingPeriods: { numberOfEvaluationPeriods: 1, minFailingPeriodsToAlert: 1 }
        }
      ]
    }
    actions: { actionGroups: [actionGroupId] }
  }
}

var databaseLimits = [
  { metric: 'storage_percent', threshold: 80, says: 'its storage is 80 % full' }
  { metric: 'active_connections', threshold: postgresUserConnections * 8 / 10, says: '80 % of its connections are used' }
]

resource database 'Microsoft.Insights/metricAlerts@2018-03-01' = [
  for limit in databaseLimits: {
    name: 'tributary-postgres-${replace(limit.metric, '_', '-')}'
    location: 'global'
    tags: tags
    properties: {
      description: 'PostgreSQL: ${limit.says}'
      severity: 1
      enabled: true
      evaluationFrequency: 'PT5M'
      windowSize: 'PT15M'
      autoMitigate: true
      scopes: [postgresId]
      criteria: {
        'odata.type': 'Microsoft.Azure.Monitor.SingleResourceMultipleMetricCriteria'
        allOf: [
          {
            name: limit.metric
            criterionType: 'StaticThresholdCriterion'
            metricNamespace: 'Microsoft.DBforPostgreSQL/flexibleServers'
            metricName: limit.metric
            operator: 'GreaterThan'
            threshold: limit.threshold
            timeAggregation: 'Maximum'
          }
        ]
      }
      actions: [{ actionGroupId: actionGroupId }]
    }
  }
]
