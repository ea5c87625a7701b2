// The blocks of two runs at the cursor, matched: the first of a layer's op in A with the first in B, and so on.

/** Entries with `size` in A, `other` in B and `change`; the rest is that of `chosen`, or of the run that has it. */
function pairBlocks(lists, chosen) {
  const key = (entry) => `${entry.slot}\n${entry.op}\n${entry.module}\n${entry.phase}`;
  const waiting = new Map();
  for (const entry of lists[1]) {
    const queue = waiting.get(key(entry));
    if (queue)
      queue.push(entry);
    else
      waiting.set(key(entry), [entry]);
  }
  for (const queue of waiting.values()) queue.reverse();  // blocks come in the order of their birth
  const pair = (a, b) => {
    const [size, other] = [a?.size ?? 0, b?.size ?? 0];
    return {...([a, b][chosen] ?? a ?? b), size, other, change: other - size, only: a && b ? '' : a ? 'A' : 'B'};
  };
  const pairs = lists[0].map((entry) => pair(entry, waiting.get(key(entry))?.pop()));
  for (const queue of waiting.values()) pairs.push(...queue.map((entry) => pair(undefined, entry)));
  return pairs;
}
