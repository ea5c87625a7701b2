// The sweep: how the peak moves with batch size, resolution or whatever was varied, as small charts side by side.

const CARDS = [24, 40, 80].map((gibibytes) => gibibytes * 2 ** 30);  // what many devices have
const SWEEP = {
  width: 400,
  height: 230,
  left: 70,
  right: 14,
  top: 14,
  bottom: 34
};
const MOST_CHARTS = 12;  // of an axis, until all are asked for

/** Places from a number upwards: 0, 1, 2, ... where labels are no numbers. */
function sweepPlaces(points) {
  const numbers = points.map(({label}) => Number(label));
  return numbers.every((number, i) => Number.isFinite(number) && (i === 0 || number > numbers[i - 1])) ?
      numbers :
      points.map((_, i) => i);
}

/** Points that need more than a later one: [index, index of the one that needs least after it]. */
function fallingPoints(points, field) {
  const found = [];
  let least = points.length - 1;
  for (let i = points.length - 2; i >= 0; --i) {
    if (points[i].fits && points[least].fits && points[i][field] > points[least][field]) found.push([i, least]);
    if (points[i].fits && (!points[least].fits || points[i][field] <= points[least][field])) least = i;
  }
  return found.reverse();
}

/** Where the line of reserved goes over `limit`: [index before, place between 0 and 1 on the way to the next]. */
function crossing(points, limit) {
  for (let i = 0; i + 1 < points.length; ++i) {
    const [from, to] = [points[i], points[i + 1]];
    if (!from.fits || from.reserved > limit) return null;
    if (to.fits && to.reserved > limit) return [i, (limit - from.reserved) / (to.reserved - from.reserved)];
  }
  return null;
}

class Sweep {
  constructor(page, holder) {
    Object.assign(this, {page, holder, drawn: '', all: new Set()});
    this.scales = element(
        'select', {id: 'scales'}, element('option', {value: 'same'}, 'all charts to the same scale'),
        element('option', {value: 'each'}, 'each chart to its own scale'));
    this.scales.addEventListener('change', () => page.look.set({scales: this.scales.value}));
    this.body = element('div', {id: 'sweeps'});
    this.given = page.text.sweeps.length > 0;
    if (!this.given)
      holder.append(element(
          'p', {className: 'soft'},
          'No sweep was given to this page. One is made by: mnemo sweep MODEL --batch 1:16 ' +
              '--size 128:256:32 --report sweep.html'));
    else
      holder.append(
          element('div', {className: 'bar'}, this.legend(), element('span', {className: 'grow'}), this.scales),
          this.body);
  }

  legend() {
    const mark = (kind, text) => {
      const svg = drawing('svg', {viewBox: '-9 -9 18 18', width: 18, height: 18});
      svg.append(this.mark(kind, 0, 0));
      return element('span', {className: 'key'}, svg, text);
    };
    const line = (kind, text) => element('span', {className: 'key'}, element('i', {className: `stroke ${kind}`}), text);
    return element(
        'span', {className: 'keys'}, line('a', 'peak allocated'), line('a-reserved', 'peak reserved'),
        mark('noted', 'needs more than a larger one'), mark('crossed', 'goes over a limit'),
        mark('over', 'does not fit'));
  }

  mark(kind, x, y) {
    if (kind === 'over') return drawing('path', {d: `M${x - 5},${y - 5}l10,10m0,-10l-10,10`, class: kind});
    if (kind === 'crossed') return drawing('path', {d: `M${x},${y - 6}l6,6l-6,6l-6,-6z`, class: kind});
    return drawing('circle', {cx: x, cy: y, r: kind === 'noted' ? 6 : 3, class: kind});
  }

  draw() {
    const {look, text} = this.page;
    const state = `${look.scales} ${[...this.all].join()}`;
    if (!this.given || this.drawn === state) return;
    this.drawn = state;
    this.scales.value = look.scales;
    const axes = new Map();
    for (const sweep of text.sweeps) axes.set(sweep.axis, [...(axes.get(sweep.axis) ?? []), sweep]);
    this.body.replaceChildren(...[...axes].map(([axis, sweeps]) => this.group(axis, sweeps)));
  }

  group(axis, sweeps) {
    const shown = this.all.has(axis) ? sweeps : this.few(sweeps);
    const highest = Math.max(...sweeps.map((sweep) => this.highest(sweep)));
    const group = element('section', {}, element('h3', {}, axis ? `over ${axis}` : ''));
    const top = (sweep) => (this.page.look.scales === 'same' ? highest : this.highest(sweep));
    group.append(
        element('div', {className: 'strip'}, ...shown.map((sweep) => this.chart(sweep, 1.08 * top(sweep), axis))));
    if (shown.length === sweeps.length) return group;
    const more = element('button', {type: 'button'}, `show all ${grouped(sweeps.length)} charts (now ${shown.length})`);
    more.addEventListener('click', () => {
      this.all.add(axis);
      this.draw();
    });
    group.append(more);
    return group;
  }

  /** Those in which something falls, then others at equal distances. */
  few(sweeps) {
    if (sweeps.length <= MOST_CHARTS) return sweeps;
    const chosen = new Set(sweeps.filter((sweep) => sweep.points.some(({note}) => note)).slice(0, MOST_CHARTS));
    for (let i = 0; chosen.size < MOST_CHARTS; ++i)
      chosen.add(sweeps[i < MOST_CHARTS ? Math.round((i * (sweeps.length - 1)) / (MOST_CHARTS - 1)) : i]);
    return sweeps.filter((sweep) => chosen.has(sweep));
  }

  /** What a chart has to show: its points, and the capacity where that is near. */
  highest({capacity, points}) {
    const most = Math.max(1, ...points.filter(({fits}) => fits).map(({reserved}) => reserved));
    const misfits = points.some(({fits}) => !fits);
    return capacity > 0 && (misfits || capacity <= 2 * most) ? Math.max(most, capacity) : most;
  }

  chart({title, capacity, points}, most, axis) {
    const {width, height, left, right, top, bottom} = SWEEP;
    const svg = drawing('svg', {viewBox: `0 0 ${width} ${height}`, role: 'img', 'aria-label': title});
    const places = sweepPlaces(points);
    const span = places.at(-1) - places[0] || 1;
    const x = (place) => left + 8 + ((width - left - right - 16) * (place - places[0])) / span;
    const y = (bytes) => height - bottom - ((height - top - bottom) * Math.min(bytes, most)) / most;
    const write = (text, at, more = {}) => svg.append(drawing('text', {...at, ...more}, text));
    const line = (bytes, kind) =>
        svg.append(drawing('line', {x1: left, x2: width - right, y1: y(bytes), y2: y(bytes), class: kind}));
    for (const {v, label} of byteTicks(0, most, 5)) {
      line(v, 'grid');
      write(label, {x: left - 6, y: y(v) + 4}, {'text-anchor': 'end'});
    }
    const limits = CARDS.filter((bytes) => bytes < most && Math.abs(bytes - capacity) > most / 16);
    if (capacity > 0 && capacity <= most) limits.push(capacity);
    const notes = [];
    for (const limit of limits) {
      const own = limit === capacity;
      line(limit, own ? 'capacity' : 'card');
      write(
          own ? `capacity ${bytesText(limit)}` : tickText(limit), {x: left + 4, y: y(limit) - 4},
          own ? {class: 'alarm'} : {});
    }
    for (const field of ['reserved', 'allocated']) {
      // A line ends where a point does not fit.
      const path =
          points
              .map(
                  (point, i) =>
                      !point.fits ? '' : `${i > 0 && points[i - 1].fits ? 'L' : 'M'}${x(places[i])},${y(point[field])}`)
              .join('');
      svg.append(drawing('path', {d: path, class: `line ${field}`}));
    }
    for (const limit of limits) {
      const found = crossing(points, limit);
      if (!found) continue;
      const [i, part] = found;
      svg.append(this.mark('crossed', x(places[i] + part * (places[i + 1] - places[i])), y(limit)));
      notes.push(`over ${tickText(limit)} between ${points[i].label} and ${points[i + 1].label}`);
    }
    const falls = new Map();
    for (const [field, name] of [['allocated', 'allocated'], ['reserved', 'reserved']]) {
      for (const [i, least] of fallingPoints(points, field)) {
        svg.append(this.mark('noted', x(places[i]), y(points[i][field])));
        const text =
            `${bytesText(points[i][field] - points[least][field])} more ${name} than at ${points[least].label}`;
        falls.set(i, [...(falls.get(i) ?? []), text]);
      }
    }
    for (const [i, texts] of falls) notes.push(points[i].note || `${points[i].label}: ${texts.join(', ')}`);
    for (const [i, point] of points.entries())
      if (point.note && !falls.has(i)) notes.push(point.note);
    const first = points.findIndex(({fits}) => !fits);
    if (first >= 0)
      notes.push(`${points[first].label} does not fit: it needs at least ${bytesText(points[first].allocated)}`);
    const every = Math.ceil(points.length / 8);
    points.forEach((point, i) => {
      for (const field of point.fits ? ['reserved', 'allocated'] : ['reserved']) {
        const dot = this.mark(
            point.fits ? `dot ${field}` : 'over', x(places[i]), y(point.fits ? point[field] : capacity || most));
        dot.append(drawing('title', {}, this.title(point)));
        svg.append(dot);
      }
      if (i % every === 0) write(point.label, {x: x(places[i]), y: height - 16}, {'text-anchor': 'middle'});
    });
    if (axis) write(axis, {x: width - right, y: height - 2}, {'text-anchor': 'end', class: 'soft-text'});
    return element(
        'figure', {}, element('figcaption', {}, title), svg,
        element('ul', {}, ...notes.map((note) => element('li', {}, note))));
  }

  title({label, allocated, reserved, fits, note}) {
    const what = fits ? `peak allocated ${bytesText(allocated)}, peak reserved ${bytesText(reserved)}` :
                        `does not fit, needs at least ${bytesText(allocated)}`;
    return `${label}: ${what}${note ? `\n${note}` : ''}`;
  }
}
