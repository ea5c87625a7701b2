// Two runs on one axis. The axis counts the events of the first run, or its microseconds where they are known; the
// second run is laid over it as it is, or stretched so that the same phases of the same steps begin together.

class Axis {
  constructor(runs, mode, unit) {
    this.runs = runs;
    this.timed = unit === 'time' && Axis.canBeTimed(runs);
    this.anchors = mode === 'phase' && runs.length === 2 ? this.match(runs[0], runs[1]) : [[0, 0]];
    this.from = this.place(runs[0], runs[0].first);
    this.to = Math.max(...runs.map((run, index) => this.xOf(index, run.rows - 1)), this.from + 1);
  }

  static canBeTimed(runs) {
    return runs.every((run) => run.clock !== null);
  }

  /** Where a row is on its own run's axis. */
  place(run, row) {
    return this.timed ? run.clock[row] : run.event(row);
  }

  /** Pairs (place in the second run, place in the first) at which a phase begins in both. */
  match(a, b) {
    const pairs = [[0, 0]];
    let next = 0;
    for (const span of b.phases) {
      let at = next;
      while (at < a.phases.length && (a.phases[at].phase !== span.phase || a.phases[at].step !== span.step)) ++at;
      if (at === a.phases.length || at - next > 64) continue;
      next = at + 1;
      const pair = [this.place(b, span.row), this.place(a, a.phases[at].row)];
      const last = pairs.at(-1);
      if (pair[0] > last[0] && pair[1] > last[1]) pairs.push(pair);
    }
    const end = [this.place(b, b.rows - 1), this.place(a, a.rows - 1)];
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
    const place = this.place(this.runs[index], row);
    return index === 0 ? place : this.map(place, 0);
  }

  /** The row of a run at a place on the axis: its last event there. */
  rowAt(index, x) {
    const run = this.runs[index];
    const place = (index === 0 ? x : this.map(x, 1)) + 1e-6;
    if (!this.timed) return run.clamp(Math.floor(place) + run.initial);
    let low = 0;
    let high = run.rows;
    while (low < high) {
      const middle = (low + high) >> 1;
      if (run.clock[middle] <= place)
        low = middle + 1;
      else
        high = middle;
    }
    return run.clamp(low - 1);
  }

  /** Whether the run has events there. */
  covers(index, x) {
    const run = this.runs[index];
    return x >= this.xOf(index, run.first) - 1e-6 && x <= this.xOf(index, run.rows - 1) + 1e-6;
  }

  /** The nearest place that a mouse should mean. */
  snap(x) {
    return this.timed ? this.xOf(0, this.rowAt(0, x)) : Math.round(x);
  }

  label(x) {
    return this.timed ? timeText(x) : grouped(x);
  }
}
