/** Results in the order of the items. Throws the first error, once nothing is under way any more. */
export async function inParallel<Item, Result>(
  items: readonly Item[],
  atOnceMax: number,
  work: (item: Item) => Promise<Result>,
): Promise<Result[]> {
  const results: Result[] = []
  const errors: unknown[] = []
  const waiting = items.entries()
  const worker = async () => {
    for (const [place, item] of waiting) {
      try {
        results[place] = await work(item)
      } catch (error) {
        errors.push(error)
      }
      if (errors.length > 0) return
    }
  }
  await Promise.all(Array.from({ length: Math.min(atOnceMax, items.length) }, worker))
  if (errors.length > 0) throw errors[0]
  return results
}
