// Two runs on one axis. The axis counts the events of the first run; the second one is laid over it event by event, or
// stretched so that the same phases of the same steps begin together.

class Axis {
  constructor(runs, mode) {
    this.runs = runs;
    this.anchors = mode === "phase" && runs.length === 2 ? this.match(runs[0], runs[1]) : [[0, 0]];
    this.from = runs[0].event(runs[0].first);
    this.to = Math.max(...runs.map((run, index) => this.xOf(index, run.rows - 1)), this.from + 1);
  }

  /** Pairs (event of the second run, event of the first) at which a phase begins in both. */
  match(a, b) {
    const pairs = [[0, 0]];
    let next = 0;
    for (const span of b.phases) {
      let at = next;
      while (at < a.phases.length && (a.phases[at].phase !== span.phase || a.phases[at].step !== span.step)) ++at;
      if (at === a.phases.length || at - next > 64) continue;
      next = at + 1;
      const pair = [b.event(span.row), a.event(a.phases[at].row)];
      const last = pairs.at(-1);
      if (pair[0] > last[0] && pair[1] > last[1]) pairs.push(pair);
    }
    const end = [b.event(b.rows - 1), a.event(a.rows - 1)];
    if (pairs.length > 1 && end[0] > pairs.at(-1)[0] && end[1] > pairs.at(-1)[1]) pairs.push(end);
    return pairs;
  }

  /** The number that `value` has on the other side (0: second run, 1: axis), between the anchors around it. */
  map(value, side) {
    let low = 0;
    let high = this.anchors.length;
    while (low < high) {
      const middle = (low + high) >> 1;
      if (this.anchors[middle][side] <= value)
        low = middle + 1;
      else
        high = middle;
    }
    const here = this.anchors[Math.max(0, low - 1)];
    const there = this.anchors[low];
    const other = 1 - side;
    if (!there || low === 0) return here[other] + value - here[side];
    return here[other] + ((value - here[side]) * (there[other] - here[other])) / (there[side] - here[side]);
  }

  xOf(index, row) {
    const event = this.runs[index].event(row);
    return index === 0 ? event : this.map(event, 0);
  }

  /** The row of a run at a place on the axis: its last event there. */
  rowAt(index, x) {
    const run = this.runs[index];
    const event = index === 0 ? x : this.map(x, 1);
    return run.clamp(Math.floor(event + 1e-6) + run.initial);
  }

  /** Whether the run has events there. */
  covers(index, x) {
    const run = this.runs[index];
    return x >= this.xOf(index, run.first) - 1e-6 && x <= this.xOf(index, run.rows - 1) + 1e-6;
  }
}
