// The curves of allocated and reserved: what is drawn in them at any zoom, and with what behind.

const MARGIN = {
  left: 84,
  right: 12
};
const CURVE_HEIGHT = 250;

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
    for (let pixel = 0; pixel < width; ++pixel) {
      const begin = first + Math.floor(((last - first) * pixel) / width);
      const end = first + Math.floor(((last - first) * (pixel + 1)) / width);
      if (end <= begin) continue;
      const allocated = run.extremes.allocated.range(begin, end);
      const reserved = run.extremes.reserved.range(begin, end);
      rows.push(...[allocated.least, allocated.most, reserved.least, reserved.most].sort((a, b) => a - b));
    }
    rows.push(last);
    return rows;
  }

  /** [x, allocated, reserved, ...] for every x at which some run has something to say. */
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
        line.push(row < 0 ? null : run.allocated[row], row < 0 ? null : run.reserved[row]);
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
    for (const capacity of this.page.data.capacities()) this.paintCapacity(context, area, toY(capacity), capacity);
    context.restore();
  }

  /** Phases of less than a pixel are not drawn one by one. */
  paintPhases(context, area, toX, run) {
    const phases = run.phases;
    const names = run.names.phases;
    const [begin, end] = this.page.range();
    const rowAt = (x) => run.clamp(Math.floor(begin + ((x - area.x) / area.w) * (end - begin)) + run.initial);
    let drawnTo = area.x;
    for (let i = Math.max(0, run.phaseIndex(rowAt(area.x))); i < phases.length && drawnTo < area.x + area.w; ++i) {
      const from = Math.max(toX(run.event(phases[i].row)), drawnTo);
      // Phases are known from allocations: the last one ends with the last of these.
      const last = i + 1 < phases.length ? phases[i + 1].row : run.born[run.blocks - 1];
      const to = Math.min(toX(run.event(last)), area.x + area.w);
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
