import type { Series } from '../model/repository.ts'

/** A link as it is stored, with the names of its target. */
export type LinkRow = {
  readonly runId: string
  readonly rel: 'input' | 'output' | 'baseline' | 'parent'
  readonly otherRunId: string | null
  readonly recordId: string
  readonly targetNo: number | null
  readonly sourceId: string | null
  readonly schema: string | null
  readonly table: string | null
}

export type GraphNode =
  | { readonly type: 'run'; readonly runId: string }
  | { readonly type: 'target'; readonly target: Series['target']; readonly targetNo: number }

export type LineageNode = {
  /** Of this answer. */
  readonly id: string
  readonly type: 'run' | 'target'
  readonly runId?: string
  readonly target?: Series['target']
  /** Steps from the start. */
  readonly distance: number
}

export type LineageEdge = {
  /** The way of the data: input → run → output, baseline → run, parent → run. */
  readonly from: string
  readonly to: string
  readonly rel: LinkRow['rel']
  /** That says so. */
  readonly recordId: string
}

export type Lineage = {
  readonly nodes: readonly LineageNode[]
  readonly edges: readonly LineageEdge[]
  /** There is more. */
  readonly truncated: boolean
}

export type LineageGraph = {
  readonly start: readonly GraphNode[]
  /** Nodes that were not there before, in the order of the links. */
  readonly add: (links: readonly LinkRow[], distance: number) => readonly GraphNode[]
  readonly truncate: () => void
  readonly lineage: () => Lineage
}

export function createLineageGraph(options: { readonly nodesMax: number; readonly start: GraphNode }): LineageGraph {
  const nodes = new Map<string, LineageNode>([[keyOf(options.start), nodeOf(options.start, 0)]])
  const edges = new Map<string, LineageEdge>()
  let truncated = false

  /** Whether it is there; `fresh` gets those that were not. */
  const put = (node: GraphNode, distance: number, fresh: GraphNode[]): boolean => {
    const key = keyOf(node)
    if (nodes.has(key)) return true
    if (nodes.size >= options.nodesMax) {
      truncated = true
      return false
    }
    nodes.set(key, nodeOf(node, distance))
    fresh.push(node)
    return true
  }

  return {
    start: [options.start],
    add(links, distance) {
      const fresh: GraphNode[] = []
      for (const link of links) {
        const { from, to } = endsOf(link)
        if (!put(from, distance, fresh) || !put(to, distance, fresh)) continue
        const { rel, recordId } = link
        const edge = { from: keyOf(from), to: keyOf(to), rel, recordId }
        const key = JSON.stringify([edge.from, edge.to, rel])
        if (!edges.has(key)) edges.set(key, edge)
      }
      return fresh
    },
    truncate() {
      truncated = true
    },
    lineage: () => ({ nodes: [...nodes.values()], edges: [...edges.values()], truncated }),
  }
}

function endsOf(link: LinkRow): { readonly from: GraphNode; readonly to: GraphNode } {
  const run: GraphNode = { type: 'run', runId: link.runId }
  const other = otherEnd(link)
  return link.rel === 'output' ? { from: run, to: other } : { from: other, to: run }
}

function otherEnd({ otherRunId, targetNo, sourceId, schema, table }: LinkRow): GraphNode {
  if (otherRunId !== null) return { type: 'run', runId: otherRunId }
  if (targetNo === null || sourceId === null || schema === null || table === null) {
    throw new Error('link: expected a run or a target at its other end, got neither')
  }
  return { type: 'target', target: { sourceId, schema, table }, targetNo }
}

function keyOf(node: GraphNode): string {
  if (node.type === 'run') return `run:${node.runId}`
  const { sourceId, schema, table } = node.target
  return `target:${JSON.stringify([sourceId, schema, table])}`
}

function nodeOf(node: GraphNode, distance: number): LineageNode {
  const named = node.type === 'run' ? { runId: node.runId } : { target: node.target }
  return { id: keyOf(node), type: node.type, ...named, distance }
}
