param location string
param tags object
param workspaceId string

var parts = [
  { title: 'Health: one line a minute from the sweep', query: loadTextContent('../queries/health.kql'), chart: 'timechart' }
  { title: 'Open alerts', query: loadTextContent('../queries/open-alerts.kql'), chart: 'table' }
  { title: 'Ingests by outcome', query: loadTextContent('../queries/ingests.kql'), chart: 'barchart' }
  { title: 'Published per stream, and when last', query: loadTextContent('../queries/streams.kql'), chart: 'table' }
  { title: 'Late, silent and incomplete streams', query: loadTextContent('../queries/freshness.kql'), chart: 'table' }
  { title: 'Quarantined and failed, rejects', query: loadTextContent('../queries/quarantine.kql'), chart: 'table' }
  { title: 'Backfills', query: loadTextContent('../queries/backfills.kql'), chart: 'table' }
  { title: 'Runs of timers and jobs', query: loadTextContent('../queries/runs.kql'), chart: 'table' }
  { title: 'Cost: what is logged, MB', query: loadTextContent('../queries/logged-volume.kql'), chart: 'timechart' }
  { title: 'Cost: seconds of functions', query: loadTextContent('../queries/function-seconds.kql'), chart: 'timechart' }
]
var parameters = {
  type: 9
  name: 'parameters'
  content: {
    version: 'KqlParameterItem/1.0'
    parameters: [
      { id: 'range', version: 'KqlParameterItem/1.0', name: 'range', label: 'Time', type: 4, value: { durationMs: 86400000 } }
    ]
    queryType: 0
    resourceType: 'microsoft.operationalinsights/workspaces'
  }
}

resource workbook 'Microsoft.Insights/workbooks@2023-06-01' = {
  name: guid(resourceGroup().id, 'workbook')
  location: location
  tags: tags
  kind: 'shared'
  properties: {
    displayName: 'Tributary'
    category: 'workbook'
    sourceId: workspaceId
    version: '1.0'
    serializedData: string({
      version: 'Notebook/1.0'
      items: concat(
        [parameters],
        map(parts, part => {
          type: 3
          name: part.title
          content: {
            version: 'KqlItem/1.0'
            title: part.title
            query: part.query
            size: 0
            timeContextFromParameter: 'range'
            queryType: 0
            resourceType: 'microsoft.operationalinsights/workspaces'
            visualization: part.chart
          }
        })
      )
    })
  }
}
