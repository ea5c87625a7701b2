// The curves of allocated, reserved and requested: what is drawn in them at any zoom, and with what behind.

const MARGIN = {
  left: 84,
  right: 12
};
const CURVE_HEIGHT = 250;
const CURVES = ["allocated", "reserved", "asked"];  // of every run, in this order
const MOST_NAMED = 4000;                           // rows in sight, at most, when layers are named

/** The curves' y axis: as many powers of two as are legible. */
function byteTicks(from, to, most) {
  let step = 1;
  while ((to - from) / step > most) step *= 2;
  const ticks = [];
  for (let value = Math.ceil(from / step) * step; value <= to; value += step)
    ticks.push({v: value, label: tickText(value)});
  return ticks;
}

class CurveData {
  constructor(runs) {
    this.runs = runs;
  }

  /** Rows of a run worth drawing on [from, to] at `width` pixels: all, or the extremes of every pixel. */
  rows(axis, index, from, to, width) {
    const run = this.runs[index];
    const first = axis.rowAt(index, from);
    const last = Math.min(axis.rowAt(index, to) + 1, run.rows - 1);
    const rows = [];
    if (last - first <= 2 * width) {
      for (let row = first; row <= last; ++row) rows.push(row);
      return rows;
    }
    rows.push(first);
    let end = first;
    for (let pixel = 1; pixel <= width; ++pixel) {
      const begin = end;
      end = pixel === width ? last : Math.min(last, axis.rowAt(index, from + ((to - from) * pixel) / width));
      if (end <= begin) continue;
      // What is requested follows what is allocated: it needs no extremes of its own.
      const {least, most} = run.extremes.allocated.range(begin, end);
      const found = [least, most];
      const reserved = run.extremes.reserved.range(begin, end);
      if (run.reserved[reserved.least] !== run.reserved[reserved.most]) found.push(reserved.least, reserved.most);
      rows.push(...found.sort((a, b) => a - b));
    }
    rows.push(last);
    return rows;
  }

  /** [x, allocated, reserved, requested, ...] for every x at which some run has something to say. */
  table(axis, from, to, width) {
    const xs = [axis.from, axis.to, from, to];
    this.runs.forEach((run, index) => {
      for (const row of this.rows(axis, index, from, to, width)) xs.push(axis.xOf(index, row));
    });
    xs.sort((a, b) => a - b);
    const table = [];
    let last = NaN;
    for (const x of xs) {
      if (x === last) continue;
      last = x;
      const line = [x];
      this.runs.forEach((run, index) => {
        const row = axis.covers(index, x) ? axis.rowAt(index, x) : -1;
        for (const name of CURVES) line.push(row < 0 ? null : run[name][row]);
      });
      table.push(line);
    }
    return table;
  }

  /** The greatest value that the page has to show, with the line of the capacity where that is near. */
  top() {
    const reserved = Math.max(...this.runs.map((run) => run.header.peak_reserved.bytes), 1);
    const near = this.capacities().filter((capacity) => capacity <= 2 * reserved);
    return 1.1 * Math.max(reserved, ...near);
  }
  capacities() {
    return [...new Set(this.runs.map((run) => run.header.capacity))].filter((capacity) => capacity > 0);
  }
}

/** What lies behind the curves: phases, capacities, and crosses where memory ran out. */
class CurveGround {
  constructor(page) {
    this.page = page;
  }

  paint(context, area, toX, toY) {
    context.save();
    context.beginPath();
    context.rect(area.x, area.y, area.w, area.h);
    context.clip();
    context.font = `11px ${color("font")}`;
    this.paintPhases(context, area, toX, this.page.runs[0]);
    this.paintModules(context, area, toX, this.page.runs[0]);
    for (const capacity of this.page.data.capacities()) this.paintCapacity(context, area, toY(capacity), capacity);
    context.restore();
  }

  /** Phases of less than a pixel are not drawn one by one; short ones are widened so that they can be seen. */
  paintPhases(context, area, toX, run) {
    const phases = run.phases;
    const names = run.names.phases;
    const {axis} = this.page;
    const [begin, end] = this.page.range();
    const rowAt = (x) => axis.rowAt(0, begin + ((x - area.x) / area.w) * (end - begin));
    let drawnTo = area.x;
    for (let i = Math.max(0, run.phaseIndex(rowAt(area.x))); i < phases.length && drawnTo < area.x + area.w; ++i) {
      const from = Math.max(toX(axis.xOf(0, phases[i].row)), drawnTo);
      const last = i + 1 < phases.length ? phases[i + 1].row : run.phaseEnd;
      const short = phases.length < area.w / 8 && last > phases[i].row ? 3 : 0;
      const to = Math.min(Math.max(toX(axis.xOf(0, last)), from + short), area.x + area.w);
      if (to - from < 1) {
        drawnTo = Math.max(drawnTo, from) + 1;
        i = Math.max(i, run.phaseIndex(rowAt(drawnTo)) - 1);
        continue;
      }
      drawnTo = to;
      const name = names[phases[i].phase];
      context.fillStyle = color(`phase-${name}`);
      context.fillRect(from, area.y, to - from, area.h);
      const label = `${name} ${phases[i].step > 0 ? phases[i].step : ""}`.trim();
      if (to - from < context.measureText(label).width + 8) continue;
      context.fillStyle = color("soft");
      context.fillText(label, from + 4, area.y + 12);
    }
  }

  /** Which module allocates, where so few events are in sight that there is room for names. */
  paintModules(context, area, toX, run) {
    const {axis} = this.page;
    const [begin, end] = this.page.range();
    const [first, last] = [axis.rowAt(0, begin), axis.rowAt(0, end)];
    if (last - first > MOST_NAMED) return;
    const spans = [];
    let phase = run.phaseIndex(first);
    for (let row = first; row <= last; ++row) {
      if (run.phases[phase + 1]?.row === row) {
        ++phase;
        spans.push({module: "", row});
      }
      if (run.kind[row] !== KIND.alloc) continue;
      const module = run.texts[run.tags[run.tag[run.subject[row]]][3]];
      if (spans.at(-1)?.module !== module) spans.push({module, row});
    }
    spans.forEach(({module, row}, i) => {
      const from = Math.max(area.x, toX(axis.xOf(0, row)));
      const to = toX(axis.xOf(0, spans[i + 1]?.row ?? Math.min(last, run.phaseEnd)));
      if (!module || to - from < context.measureText(module).width + 8) return;
      context.fillStyle = color("line");
      context.fillRect(from, area.y + 17, 1, 14);
      context.fillStyle = color("soft");
      context.fillText(module, from + 4, area.y + 27);
    });
  }

  paintCapacity(context, area, y, capacity) {
    if (y < area.y) return;
    context.strokeStyle = context.fillStyle = color("alarm");
    context.setLineDash([8, 4]);
    context.beginPath();
    context.moveTo(area.x, y);
    context.lineTo(area.x + area.w, y);
    context.stroke();
    context.setLineDash([]);
    const label = `capacity ${bytesText(capacity)}`;
    context.fillText(
        label, area.x + area.w - context.measureText(label).width - 6, y - 4 < area.y + 12 ? y + 13 : y - 4);
  }

  paintCross(context, x, y, named) {
    context.strokeStyle = color("alarm");
    context.lineWidth = 3;
    context.beginPath();
    for (const side of [-1, 1]) {
      context.moveTo(x - 7, y - 7 * side);
      context.lineTo(x + 7, y + 7 * side);
    }
    context.stroke();
    context.lineWidth = 1;
    if (!named) return;
    const label = "out of memory";
    const width = context.measureText(label).width;
    context.fillStyle = color("veil");
    context.fillRect(x - width / 2 - 3, y + 12, width + 6, 15);
    context.fillStyle = color("alarm");
    context.fillText(label, x - width / 2, y + 23);
  }
}
